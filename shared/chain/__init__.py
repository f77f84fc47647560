"""Chains: work in steps that a process may die in the middle of.

A chain is declared as data and reads like its diagram:

    ARCHIVAL = Chain(
        "archival", Archival,
        retry(job_in_progress), critical(move_datablocks_to_lts, undo=delete_from_lts), critical(validate_datablocks),
        retry(job_finished),
        on_user_error=report_missing_files, on_system_error=report_failure,
    )

`Chains.start(unit, ARCHIVAL, state)` writes a row in the caller's transaction; the `Runner` of the same service does the rest.

- The row is the truth: where the chain stands, its state, when the step is due. `epoch` grows with every change and each
  message says for which epoch it is, so a message that comes twice or late changes nothing.
- Due steps are messages on `hr.step.<service>.<chain>.<step>`; what is due later is a schedule on `hr.at.<service>.<id>`.
- A step runs outside of any transaction, under a lease in its row that is renewed while it runs. What it returns is
  committed with the next step and with its events, and only if it still holds the lease. So a step may run more than once
  (it has to be idempotent), and its result counts once.
- What the bus has lost, or a kill has left, the sweeper finds by the row and puts on the bus again.
- A chain that is somebody's long work is shown to them as an operation: `start(…, operation=OperationOf(kind, owner, target))`.
  Its steps say how far they are (`ctx.progress`); `Operations` answers for it (docs/adr/0031-operations.md).

`declare` is what a service writes, `decide` what happens next (no I/O), `runner` and `sweep` make it happen, `store` is the
SQL. Why it is so: docs/adr/0003-chains.md.
"""
