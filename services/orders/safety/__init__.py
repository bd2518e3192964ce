"""Stop trading when nobody is there to stop it: dead-man timers, and a watchdog that throws the kill switch."""
