"""`headrace`: looks at a running Headrace and gives it work, over HTTP only.

It finds the address and the token in `.headrace/` of the current folder or one above, or in HEADRACE_HTTP_URL and
HEADRACE_TOKEN. Every command takes `--json`. Exit codes: 0 done, 1 the server refused or the work failed, 2 wrong usage,
3 nobody answers.
"""
