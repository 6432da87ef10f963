"""The checks of `verify`: each looks at one thing, stops at no fault and puts what it finds into a `Findings`."""
