"""What the tests stand on: real servers, waiting, a faulty network, the whole system from outside."""
