# /// script
# dependencies = ["distributed==2026.8.0"]
# ///
"""dask.distributed: two worker processes of one thread; the graph is native, futures as arguments.

`worker-saturation: inf` sends tasks to the workers as soon as they are ready; with the default of 1.1 a no-op costs three
times the CPU. One task for each call: `map` and `submit` were faster than a graph of `delayed`.
"""

import dask
from distributed import Client, Future, LocalCluster
from measure import arguments, measure


def noop(*_inputs: object) -> None:
    pass


def main() -> None:
    options = arguments()
    dask.config.set({"distributed.scheduler.worker-saturation": float("inf")})
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def submit(*inputs: Future) -> Future:
            return client.submit(noop, *inputs, pure=False)

        def independent(count: int) -> int:
            return len(client.gather(client.map(noop, range(count), pure=False)))

        def chain(count: int) -> int:
            tasks = [submit()]
            for _ in range(count - 1):
                tasks.append(submit(tasks[-1]))
            return len(client.gather(tasks))

        def layers(depth: int, width: int) -> int:
            tasks: list[Future] = []
            for _ in range(depth):
                layer = [submit(*tasks[-1:]) for _ in range(width)]
                tasks += [*layer, submit(*layer)]
            return len(client.gather(tasks))

        def one() -> int:
            return len([submit().result()])

        measure(options, independent=independent, chain=chain, layers=layers, one=one)


if __name__ == "__main__":
    main()
