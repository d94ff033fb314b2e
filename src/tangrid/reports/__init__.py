"""Pages that show what runs left behind; they read records and compute nothing.

Pages stand on their own: pictures, figures and styles are inside, nothing is loaded.
"""

from tangrid.reports.compare_report import write_compare_report
from tangrid.reports.fit_report import write_fit_report
from tangrid.reports.kernel_report import write_kernel_report

__all__ = ["write_compare_report", "write_fit_report", "write_kernel_report"]
