import sys

from providers.words import speak

# Here, because a plugin imports no more than the module of the provider that it is asked for.
speak(sys.modules["__main__"])
