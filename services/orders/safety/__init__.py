"""What stops trading when nobody is there to stop it: kill switch, dead-man timer."""
