//! The text of INFO: sections with a title, fields as `name:value`.

use std::fmt::{Display, Write as _};
use std::time::Duration;

/// INFO's text while it is written.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a section; an empty line separates it from the one before.
    pub(super) fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.line(format_args!("# {title}"));
    }

    /// A field. The value has no line ends.
    pub(super) fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}:{value}"));
    }

    /// Several fields.
    pub(super) fn fields(&mut self, fields: &[(&str, &dyn Display)]) {
        fields.iter().for_each(|(name, value)| self.field(name, value));
    }

    /// A ratio or percentage with two digits.
    pub(super) fn decimal(&mut self, name: &str, value: f64) {
        self.line(format_args!("{name}:{value:.2}"));
    }

    /// A time in seconds with six digits.
    pub(super) fn seconds(&mut self, name: &str, time: Duration) {
        self.line(format_args!("{name}:{}.{:06}", time.as_secs(), time.subsec_micros()));
    }

    /// An amount of memory, in bytes and readable.
    pub(super) fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.line(format_args!("{name}_human:{}", human(bytes)));
    }

    /// The text so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = write!(self.0, "{line}\r\n");
    }
}

/// Bytes as Redis shows them to people: `1.21M` (Redis: bytesToHuman).
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}

/// A name with the characters that would break INFO's lines replaced, as Redis does.
pub(super) fn safe(name: &str) -> String {
    name.replace(['#', ':', '\n', '\r'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let sizes = [0, 1023, 1024, 1_269_760, 3 << 30, u64::MAX].map(human);
        assert_eq!(sizes, ["0B", "1023B", "1.00K", "1.21M", "3.00G", "16.00E"]);
    }

    #[test]
    fn lines_end_as_in_redis() {
        let mut text = Text::default();
        text.section("One");
        text.field("a", 1);
        text.section("Two");
        text.decimal("b", 0.5);
        assert_eq!(text.as_bytes(), b"# One\r\na:1\r\n\r\n# Two\r\nb:0.50\r\n");
        assert_eq!(safe("a:b#c\nd"), "a_b_c_d");
    }
}
