//! The text of INFO: sections with a title, fields as `name:value`.

use std::fmt::{Display, Write as _};

use super::Visitor;

/// INFO's text while it is written.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// The text so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = write!(self.0, "{line}\r\n");
    }
}

impl Visitor for Text {
    /// An empty line separates a section from the one before.
    fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.line(format_args!("# {title}"));
    }

    fn field(&mut self, name: &str, value: &dyn Display) {
        self.line(format_args!("{name}:{value}"));
    }

    fn record(&mut self, name: &str, values: &[(&str, &dyn Display)]) {
        let values: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.field(name, &values.join(","));
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
        text.field("a", &1);
        text.section("Two");
        text.record("b", &[("c", &2), ("d", &"e")]);
        (&mut text as &mut dyn Visitor).decimal("f", 0.5);
        assert_eq!(text.as_bytes(), b"# One\r\na:1\r\n\r\n# Two\r\nb:c=2,d=e\r\nf:0.50\r\n");
        assert_eq!(safe("a:b#c\nd"), "a_b_c_d");
    }
}
