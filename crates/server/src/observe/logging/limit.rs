//! Kinds of log lines that clients can cause at will, each with a limit of its own: nobody fills the disk or drowns what
//! matters. How many lines were left out is told by the log's thread once the kind's period is over.

use parking_lot::Mutex;

use crate::system::clock::MonotonicMs;

/// Lines of one kind in a period.
const LINES_MAX: u32 = 10;
/// Length of a period in milliseconds.
const PERIOD_MS: u64 = 10_000;

/// A kind of line; made by [`limited!`], which makes one for each place in the source.
#[derive(Debug)]
pub struct LineLimit {
    kind: &'static str,
    period: Mutex<Period>,
}

#[derive(Debug)]
struct Period {
    began: Option<MonotonicMs>,
    admitted: u32,
    left_out: u64,
    /// It is in [`LIMITS`].
    known: bool,
}

/// Every kind of which lines were ever left out.
static LIMITS: Mutex<Vec<&'static LineLimit>> = Mutex::new(Vec::new());

impl LineLimit {
    /// A kind with a name for its report.
    pub const fn new(kind: &'static str) -> LineLimit {
        LineLimit { kind, period: Mutex::new(Period { began: None, admitted: 0, left_out: 0, known: false }) }
    }

    /// True when one more line may be written now.
    pub fn admit(&'static self) -> bool {
        let (admitted, is_new) = self.period.lock().admit(MonotonicMs::now());
        if is_new {
            LIMITS.lock().push(self);
        }
        admitted
    }
}

impl Period {
    /// Whether a line is admitted, and whether it is the first that is not.
    fn admit(&mut self, now: MonotonicMs) -> (bool, bool) {
        if self.is_over(now) {
            self.began = Some(now);
            self.admitted = 0;
        }
        if self.admitted < LINES_MAX {
            self.admitted += 1;
            return (true, false);
        }
        self.left_out += 1;
        (false, !std::mem::replace(&mut self.known, true))
    }

    fn is_over(&self, now: MonotonicMs) -> bool {
        self.began.is_none_or(|began| now.since(began) >= PERIOD_MS)
    }

    /// The lines left out in a period that is over, once.
    fn take_left_out(&mut self, now: MonotonicMs) -> u64 {
        if self.is_over(now) { std::mem::take(&mut self.left_out) } else { 0 }
    }
}

/// Says of which kinds lines were left out in periods that are over.
pub(super) fn report() {
    let now = MonotonicMs::now();
    for limit in LIMITS.lock().iter() {
        let lines = limit.period.lock().take_left_out(now);
        if lines > 0 {
            tracing::warn!(
                lines,
                kind = limit.kind,
                "lines were left out because there were many of their kind"
            );
        }
    }
}

/// Logs a line of a kind that clients can cause: `limited!(warn, "name of the kind", ...)` with the rest as in tracing's
/// macro of that level.
macro_rules! limited {
    ($level:ident, $kind:literal, $($line:tt)+) => {{
        static KIND: $crate::observe::logging::LineLimit = $crate::observe::logging::LineLimit::new($kind);
        if KIND.admit() {
            tracing::$level!($($line)+);
        }
    }};
}
pub(crate) use limited;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_admits_some_lines_and_counts_the_rest() {
        let mut period = Period { began: None, admitted: 0, left_out: 0, known: false };
        let start = MonotonicMs::default();
        for line in 0..LINES_MAX + 5 {
            let (admitted, is_new) = period.admit(start.after(u64::from(line)));
            assert_eq!(admitted, line < LINES_MAX);
            assert_eq!(is_new, line == LINES_MAX);
        }
        assert_eq!(period.take_left_out(start.after(PERIOD_MS - 1)), 0);
        assert_eq!(period.take_left_out(start.after(PERIOD_MS)), 5);
        assert_eq!(period.take_left_out(start.after(PERIOD_MS)), 0);
        assert_eq!(period.admit(start.after(PERIOD_MS)), (true, false));
    }
}
