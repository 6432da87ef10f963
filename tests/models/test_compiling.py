"""What is said where torch.compile fails."""

from clearctl.models.compiling import compile_fault


def test_the_line_that_says_what_is_wrong() -> None:
    error = RuntimeError("backend='inductor' raised:\n  InvalidCxxCompiler: No working C++ compiler\n\nSet TORCH_LOGS")
    assert compile_fault(error) == "InvalidCxxCompiler: No working C++ compiler"
    assert compile_fault(RuntimeError("")) == "RuntimeError"
