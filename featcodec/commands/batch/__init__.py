"""``featcodec encode`` on many pictures: what it takes for a run to be stopped, doubled and started again.

plan     which pictures there are, and where the file of each goes
ledger   what earlier runs made of which picture, and who is at work on one now
work     one picture after the other, as each process does it
pool     several processes
watch    pictures that come while the run waits for them
"""
