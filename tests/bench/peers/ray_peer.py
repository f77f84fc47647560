# /// script
# dependencies = ["ray==2.60.0"]
# ///
"""ray: two CPUs, so two worker processes; the graph is native, object references as arguments."""

import tempfile

import ray
from measure import arguments, measure


@ray.remote
def noop(*_inputs: object) -> None:
    pass


def independent(count: int) -> int:
    return len(ray.get([noop.remote() for _ in range(count)]))


def chain(count: int) -> int:
    tasks = [noop.remote()]
    for _ in range(count - 1):
        tasks.append(noop.remote(tasks[-1]))
    return len(ray.get(tasks))


def layers(depth: int, width: int) -> int:
    tasks: list[ray.ObjectRef] = []
    for _ in range(depth):
        before = tasks[-1:]
        layer = [noop.remote(*before) for _ in range(width)]
        tasks += [*layer, noop.remote(*layer)]
    return len(ray.get(tasks))


def main() -> None:
    options = arguments()
    ray.init(
        num_cpus=2,
        object_store_memory=256 << 20,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=tempfile.gettempdir(),
    )
    try:
        measure(options, independent=independent, chain=chain, layers=layers, one=lambda: len([ray.get(noop.remote())]))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
