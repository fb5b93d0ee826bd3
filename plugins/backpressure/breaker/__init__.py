"""The circuit breaker: stop calling what fails, and try again carefully, as one with all who share the storage."""
