"""What `rebuild` cuts by: conditions (`where`) over fields (`fields`), one's own function (`process`), the `plan`."""
