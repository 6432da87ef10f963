"""The error of torch.compile in one line."""


def compile_fault(error: Exception) -> str:
    """The line of the error that says what is wrong, without the headings that torch writes before it."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__)
