"""`make scale-out`: the platform as several replicas of everything, under load, while every one of
them is restarted."""
