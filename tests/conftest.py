"""What every test relies on."""

import signal

# Started in the background by a script, we inherit that Ctrl-C is ignored, and so would every process that a test
# starts in order to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
