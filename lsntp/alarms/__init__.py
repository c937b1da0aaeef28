"""Is a domain well? One finding an alarm: what was expected, found, where, and what to do."""

from lsntp.alarms.examination import findings
from lsntp.alarms.finding import AlarmName, Finding, Level

__all__ = ["AlarmName", "Finding", "Level", "findings"]
