"""The half that the rules of the embedded analyst were written with."""

from . import finance, hr, retail, sensors, web

DOMAINS = (retail.domain, hr.domain, sensors.domain, finance.domain, web.domain)
