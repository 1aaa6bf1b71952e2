//! The comparison as one SVG: a panel of bars per pipeline depth, and one for memory.
//!
//! Drawn by hand: a few rectangles and texts need no library, and the file stays small and diffable.
use std::fmt::Write;

use crate::compare::{Comparison, PIPELINES};

const WIDTH: f64 = 960.0;
const PANEL_HEIGHT: f64 = 190.0;
const PANEL_GAP: f64 = 46.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 64.0;
/// Ours first; told apart by lightness too, not by hue alone.
const COLOURS: [&str; 5] = ["#c2410c", "#93c5fd", "#1d4ed8", "#a1a1aa", "#52525b"];

/// A panel: groups of bars, one bar per program.
struct Panel {
    title: String,
    groups: Vec<(String, Vec<f64>)>,
}

impl Comparison {
    /// The plot of what was measured.
    pub fn to_svg(&self) -> String {
        let panels = self.panels();
        let height = TOP + panels.len() as f64 * (PANEL_HEIGHT + PANEL_GAP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
        );
        text(&mut svg, LEFT, 20.0, "start", &format!("Less is better. {}", self.processor));
        let mut x = LEFT;
        for (program, colour) in self.programs.iter().zip(COLOURS) {
            rectangle(&mut svg, x, 32.0, 12.0, 12.0, colour);
            text(&mut svg, x + 18.0, 42.0, "start", program);
            x += 40.0 + program.len() as f64 * 7.0;
        }
        for (index, panel) in panels.iter().enumerate() {
            panel.draw(&mut svg, TOP + index as f64 * (PANEL_HEIGHT + PANEL_GAP));
        }
        svg + "</svg>\n"
    }

    fn panels(&self) -> Vec<Panel> {
        let mut panels = Vec::new();
        for pipeline in PIPELINES {
            let cells = self.throughput.iter().filter(|cell| cell.pipeline == pipeline);
            let groups: Vec<_> =
                cells.map(|cell| (cell.command.to_owned(), cell.medians(|sample| sample.cpu_us))).collect();
            if !groups.is_empty() {
                panels.push(Panel {
                    title: format!("Server CPU, µs per operation, pipeline {pipeline}"),
                    groups,
                });
            }
        }
        if !self.memory.is_empty() {
            let bytes = |row: &crate::compare::MemoryRow| {
                row.footprints.iter().map(|one| one.bytes_per_item).collect()
            };
            let groups = self.memory.iter().map(|row| (row.name.to_owned(), bytes(row))).collect();
            panels.push(Panel { title: "Resident bytes per item".to_owned(), groups });
        }
        panels
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64) {
        let bottom = top + PANEL_HEIGHT - 20.0;
        let scale_top = top + 14.0;
        let largest =
            self.groups.iter().flat_map(|(_, bars)| bars).copied().fold(f64::MIN_POSITIVE, f64::max);
        let limit = round_up(largest);
        let y = |value: f64| bottom - (bottom - scale_top) * value / limit;
        text(svg, LEFT, top, "start", &self.title);
        for step in 0..=4 {
            let value = limit * f64::from(step) / 4.0;
            rectangle(svg, LEFT, y(value), WIDTH - LEFT - RIGHT, 0.5, "#ccc");
            text(svg, LEFT - 6.0, y(value) + 4.0, "end", &short(value));
        }
        let group_width = (WIDTH - LEFT - RIGHT) / self.groups.len() as f64;
        for (index, (name, bars)) in self.groups.iter().enumerate() {
            let left = LEFT + group_width * index as f64;
            let bar_width = (group_width * 0.8 / bars.len() as f64).min(42.0);
            let first = left + (group_width - bar_width * bars.len() as f64) / 2.0;
            for (number, (value, colour)) in bars.iter().zip(COLOURS).enumerate() {
                let x = first + bar_width * number as f64;
                rectangle(svg, x + 1.0, y(*value), bar_width - 2.0, bottom - y(*value), colour);
                let label = format!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"9\">{}</text>\n",
                    x + bar_width / 2.0,
                    y(*value) - 3.0,
                    short(*value)
                );
                svg.push_str(&label);
            }
            text(svg, left + group_width / 2.0, bottom + 16.0, "middle", name);
        }
    }
}

fn rectangle(svg: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    let line = format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>\n"
    );
    svg.push_str(&line);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>")
        .expect("a string takes every write");
}

/// The next of 1, 2, 4, 5, 8, 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|limit| *limit >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    if value >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Cell;
    use crate::throughput::Sample;

    #[test]
    fn scales_end_on_round_numbers() {
        assert_eq!(round_up(5.7), 8.0);
        assert_eq!(round_up(0.43), 0.5);
        assert_eq!(round_up(130.0), 200.0);
    }

    #[test]
    fn every_bar_is_drawn() {
        let sample = |cpu_us| vec![Sample { cpu_us, operations_s: 1.0 }];
        let comparison = Comparison {
            programs: vec!["a".to_owned(), "b".to_owned()],
            throughput: vec![Cell { command: "GET", pipeline: 1, samples: vec![sample(1.0), sample(2.0)] }],
            ..Comparison::default()
        };
        let svg = comparison.to_svg();
        let bars = svg.lines().filter(|line| line.contains("<rect") && line.contains(COLOURS[0])).count();
        assert_eq!(bars, 2, "one in the legend and one in the panel");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
