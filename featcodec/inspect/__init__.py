"""What the ``plf`` command shows, as functions on data: they read, decode and compare, and print nothing.

    conformance   whether streams are read as their manifest says
    diff          in what two files differ
    verify        whether a file is sound
    report        a file, read and checked        standard library only
    symbols       a file, decoded                 needs the codec, and numpy and constriction
    rate          what its bits were spent on     numpy
    heatmap       the picture of that             numpy and Pillow

What needs more than the standard library is imported only when a file has to be decoded.
"""
