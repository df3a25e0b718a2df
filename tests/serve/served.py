"""A server over fakes as a process of its own: `python served.py PORT WORKERS`."""

import logging
import sys
from functools import partial

import mooer.serve.run as running


def main():
    from tests.serve.stand import load_slow, settings

    logging.getLogger("mooer").setLevel("INFO")
    made = running.configure
    running.configure = partial(made, load=load_slow)
    running.serve(settings(port=int(sys.argv[1]), workers=int(sys.argv[2]), chat=None))


if __name__ == "__main__":
    main()
