"""The codec idna of the image: names of hosts in ASCII, as pollreload has no others.

socket asks for it whatever the name. That of Python would bring unicodedata along,
which has 1 MB.
"""
import codecs


def getregentry() -> codecs.CodecInfo:
    """Return the codec; what encodings looks for in a module."""
    plain = codecs.lookup('ascii')
    return codecs.CodecInfo(plain.encode, plain.decode, name='idna')
