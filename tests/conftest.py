"""What holds for all tests."""

from hypothesis import settings

# a test says what is right, not how fast it is: a busy machine must not turn it red
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
