//! Comparisons as one SVG: of speed and memory a panel of bars per pipeline depth, and one for memory.
//!
//! Bars are relative to the best peer of their group, so that cheap and costly commands can stand side by side;
//! the numbers above them are the absolute figures, and a line across is the physical floor.
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
/// Where a bar is cut off, in multiples of the better peer.
const SHARE_MAX: f64 = 1.5;
/// Ours first; told apart by lightness too, not by hue alone.
const COLOURS: [&str; 6] = ["#c2410c", "#93c5fd", "#1d4ed8", "#a1a1aa", "#52525b", "#0f766e"];

/// A panel: groups of bars, one bar per program.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) groups: Vec<Group>,
}

/// One command or data set.
pub(crate) struct Group {
    pub(crate) name: String,
    /// The absolute figures, ours first.
    pub(crate) figures: Vec<f64>,
    /// What nobody can go below, where it was measured.
    pub(crate) floor: Option<f64>,
}

impl Group {
    /// The better peer's figure, or our own where there is no peer.
    fn best_peer(&self) -> f64 {
        self.figures
            .iter()
            .skip(1)
            .copied()
            .reduce(f64::min)
            .unwrap_or(self.figures[0])
            .max(f64::MIN_POSITIVE)
    }
}

impl Comparison {
    /// The plot of what was measured.
    pub fn to_svg(&self) -> String {
        let title =
            format!("Less is better; 1 is the better peer, the line is the floor. {}", self.processor);
        draw(&title, &self.programs, &self.panels())
    }

    fn panels(&self) -> Vec<Panel> {
        let mut panels = Vec::new();
        for pipeline in PIPELINES {
            let cells = self.throughput.iter().filter(|cell| cell.pipeline == pipeline);
            let groups: Vec<_> = cells
                .map(|cell| Group {
                    name: cell.command.to_owned(),
                    figures: cell.medians(|sample| sample.cpu_us),
                    floor: self.floor_us(pipeline),
                })
                .collect();
            if !groups.is_empty() {
                panels.push(Panel {
                    title: format!("Server CPU, µs per operation, pipeline {pipeline}"),
                    groups,
                });
            }
        }
        if !self.memory.is_empty() {
            let rows = self.memory.iter();
            let groups = rows
                .map(|row| Group {
                    name: row.short_name.to_owned(),
                    figures: row.footprints.iter().map(|one| one.bytes_per_item).collect(),
                    floor: Some(f64::from(row.floor_bytes)),
                })
                .collect();
            panels.push(Panel { title: "Resident bytes per item".to_owned(), groups });
        }
        panels
    }
}

/// A picture of panels, of whose bars the programs are the owners, ours first.
pub(crate) fn draw<S: AsRef<str>>(title: &str, programs: &[S], panels: &[Panel]) -> String {
    let height = TOP + panels.len() as f64 * (PANEL_HEIGHT + PANEL_GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    text(&mut svg, LEFT, 20.0, "start", title);
    let mut x = LEFT;
    for (program, colour) in programs.iter().map(AsRef::as_ref).zip(COLOURS) {
        rectangle(&mut svg, x, 32.0, 12.0, 12.0, colour);
        text(&mut svg, x + 18.0, 42.0, "start", program);
        x += 40.0 + program.len() as f64 * 7.0;
    }
    for (index, panel) in panels.iter().enumerate() {
        panel.draw(&mut svg, TOP + index as f64 * (PANEL_HEIGHT + PANEL_GAP));
    }
    svg + "</svg>\n"
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64) {
        let bottom = top + PANEL_HEIGHT - 20.0;
        let scale_top = top + 14.0;
        let y = |share: f64| bottom - (bottom - scale_top) * share.min(SHARE_MAX) / SHARE_MAX;
        text(svg, LEFT, top, "start", &self.title);
        for share in [0.0, 0.5, 1.0, SHARE_MAX] {
            rectangle(svg, LEFT, y(share), WIDTH - LEFT - RIGHT, 0.5, "#ccc");
            text(svg, LEFT - 6.0, y(share) + 4.0, "end", &format!("{share}"));
        }
        let group_width = (WIDTH - LEFT - RIGHT) / self.groups.len() as f64;
        for (index, group) in self.groups.iter().enumerate() {
            let left = LEFT + group_width * index as f64;
            let bars = group.figures.len() as f64;
            let bar_width = (group_width * 0.8 / bars).min(42.0);
            let first = left + (group_width - bar_width * bars) / 2.0;
            let best = group.best_peer();
            for (number, (figure, colour)) in group.figures.iter().zip(COLOURS).enumerate() {
                let (x, height) = (first + bar_width * number as f64, bottom - y(figure / best));
                rectangle(svg, x + 1.0, bottom - height, bar_width - 2.0, height, colour);
                let (middle, above) = (x + bar_width / 2.0, bottom - height - 3.0);
                let label = format!(
                    "<text x=\"{middle:.1}\" y=\"{above:.1}\" text-anchor=\"middle\" font-size=\"9\">{}</text>\n",
                    short(*figure)
                );
                svg.push_str(&label);
            }
            if let Some(floor) = group.floor {
                rectangle(svg, first - 4.0, y(floor / best), bar_width * bars + 8.0, 1.5, "#15803d");
            }
            text(svg, left + group_width / 2.0, bottom + 16.0, "middle", &group.name);
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
