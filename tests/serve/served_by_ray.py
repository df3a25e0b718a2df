"""Two replicas of deploy/ray_serve.py over fakes, until its input ends: `served_by_ray.py PORT`."""

import sys


def main():
    import ray  # not where tests are collected: it may not be installed
    from deploy.ray_serve import RayOptions, make
    from ray import serve
    from tests.serve.stand import load_quick

    from mooer.serve.settings import Settings

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    settings = Settings(models=("fake",), speaker=None, api_key="k")
    options = RayOptions(min_replicas=2, max_replicas=2, num_cpus=1)
    serve.run(make(settings, options, load_quick))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
