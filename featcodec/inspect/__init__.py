"""The ``plf`` command: what is in a ``.plf`` file, why it has its size, and whether it is sound.

    info, verify, dump, diff, map, conformance            the commands, each a module
            │
            ├─ report     a file, read and checked        standard library only
            ├─ symbols    a file, decoded                 needs the codec, so torch and numpy
            ├─ rate       what its bits were spent on     numpy
            └─ heatmap    the picture of that             numpy and Pillow

What needs more than the standard library is imported only when a command has to decode.
"""
