//! How a section is told: field by field, to whoever makes something of them.

use std::fmt::Display;
use std::time::Duration;

use super::text::human;

/// Is shown the sections of INFO.
pub trait Visitor {
    /// A section begins.
    fn section(&mut self, title: &str);

    /// A field. The value has no line ends.
    fn field(&mut self, name: &str, value: &dyn Display);

    /// A field that is made of several values, each with a name: `db0:keys=1,expires=0`.
    fn record(&mut self, name: &str, values: &[(&str, &dyn Display)]);
}

impl dyn Visitor + '_ {
    /// Several fields.
    pub(super) fn fields(&mut self, fields: &[(&str, &dyn Display)]) {
        fields.iter().for_each(|(name, value)| self.field(name, value));
    }

    /// A ratio or percentage with two digits.
    pub(super) fn decimal(&mut self, name: &str, value: f64) {
        self.field(name, &format_args!("{value:.2}"));
    }

    /// A time in seconds with six digits.
    pub(super) fn seconds(&mut self, name: &str, time: Duration) {
        self.field(name, &format_args!("{}.{:06}", time.as_secs(), time.subsec_micros()));
    }

    /// An amount of memory, in bytes and readable.
    pub(super) fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, &bytes);
        self.field(&format!("{name}_human"), &human(bytes));
    }
}
