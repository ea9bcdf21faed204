"""Train the gallery's model on, from where it stands: `make gallery`.

``make gallery STEPS=50000`` goes up to step 50 000. Stop it whenever you like, with
Ctrl-C too: it has saved its state, and the same command goes on. The weights as they
stand are published in data/gallery.safetensors after each saving.
"""

import sys

from course_utils.experiments import gallery


def say(found: dict[str, float]) -> None:
    gallery.publish()
    print(
        f"  step {found['step']:.0f}: β {found['beta']:.2g}, distortion "
        f"{found['distortion']:.1f}, rate {found['rate']:.1f} nats, MIG "
        f"{found['MIG']:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) > 2 or not all(given.isdigit() for given in sys.argv[1:]):
        sys.exit("usage: make gallery STEPS=30000")
    asked = int(sys.argv[1]) if len(sys.argv) == 2 else 30_000
    progress = gallery.train(asked, after_each=say)
    gallery.publish()
    print(f"gallery: {progress.steps} steps, {progress.seconds:.0f} s of the processor")
