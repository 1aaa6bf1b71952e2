//! A page in Prometheus's text format (version 0.0.4), written metric by metric.
//!
//! Invariant: whatever the order in which samples come, those of one metric stand together below its head.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};

/// The format's content type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The kind of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, until a restart or CONFIG RESETSTAT.
    Counter,
    /// How often values up to some bounds were seen.
    Histogram,
    /// Values that shares of all do not exceed.
    Summary,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

impl Metric {
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Metric {
        Metric { name, kind: Kind::Gauge, help }
    }

    pub(super) const fn counter(name: &'static str, help: &'static str) -> Metric {
        Metric { name, kind: Kind::Counter, help }
    }
}

/// The text while it is written.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Head and samples of each metric, in the order they were begun.
    metrics: Vec<String>,
    places: HashMap<&'static str, usize>,
}

impl Page {
    /// Begins a metric that may come to have no sample.
    pub(super) fn begin(&mut self, metric: &Metric) -> &mut String {
        let place = *self.places.entry(metric.name).or_insert_with(|| {
            let Metric { name, kind, help } = metric;
            let kind = match kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
                Kind::Histogram => "histogram",
                Kind::Summary => "summary",
            };
            self.metrics.push(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            self.metrics.len() - 1
        });
        &mut self.metrics[place]
    }

    /// A value of a metric.
    pub(super) fn sample(&mut self, metric: &Metric, labels: &[(&str, &str)], value: impl Display) {
        self.part(metric, "", labels, value);
    }

    /// A value of a metric that has several: `suffix` says which of them.
    pub(super) fn part(
        &mut self,
        metric: &Metric,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        let text = self.begin(metric);
        text.push_str(metric.name);
        text.push_str(suffix);
        for (index, (label, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            // Writing to memory cannot fail.
            let _ = write!(text, "{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }

    pub(super) fn into_text(self) -> String {
        self.metrics.concat()
    }
}

/// A label's text: the format escapes three characters.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_stand_together() {
        const A: Metric = Metric::counter("a_total", "Some help.");
        const B: Metric = Metric::gauge("b", "More.");
        let mut page = Page::default();
        page.sample(&A, &[], 1.5);
        page.sample(&B, &[("x", "1"), ("y", "q\"\\\n")], 2);
        page.part(&A, "_sum", &[("x", "2")], 3.0);
        assert_eq!(
            page.into_text(),
            "# HELP a_total Some help.\n# TYPE a_total counter\na_total 1.5\na_total_sum{x=\"2\"} 3\n\
             # HELP b More.\n# TYPE b gauge\nb{x=\"1\",y=\"q\\\"\\\\\\n\"} 2\n"
        );
    }
}
