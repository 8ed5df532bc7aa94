// SPDX-License-Identifier: Apache-2.0
//! Draws the tables of times: a band for each group, and in it a dot for each contender, with a line
//! from quartile to quartile. Filled dots are this library's. The axis is logarithmic, because contenders
//! differ by factors of ten and more.

use std::error::Error;
use std::fs;

use compare::programs::table::{allocator, TIME};
use compare::turns::{Outcome, Quartiles, Role, Timed};
use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{charts, group, Row, Table, TABLES};

/// Colours that those tell apart too who see few colours.
const COLORS: [RGBColor; 9] = [
    RGBColor(0, 90, 181),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(120, 120, 120),
    RGBColor(140, 86, 75),
    RGBColor(0, 0, 0),
];
const BAND_BACKGROUND: RGBColor = RGBColor(244, 246, 248);
const WIDTH: u32 = 1000;
const LEGEND: u32 = 220;
const LABELS: u32 = 250;
const BAND: u32 = 62;
/// The size of most letters, in the library's units.
const TEXT: i32 = 17;

/// One dot.
struct Dot {
    series: usize,
    is_ours: bool,
    time: Quartiles,
}

impl Dot {
    fn of(series: usize, case: &Timed) -> Self {
        Self { series, is_ours: case.role == Role::Ours, time: case.time() }
    }
}

/// What a chart shows: a label and dots for each band, from the top.
type Band<'a> = (&'a str, Vec<Dot>);

/// Draws every chart of the tables.
pub fn draw_all(outcomes: &[Outcome]) {
    for table in TABLES {
        if let Some((file, series)) = table.chart {
            save(file, table.title, series, &bands(table, series, outcomes));
        }
    }
}

/// Draws the chart of whole programs. A dot is the fastest setting of an allocator.
pub fn draw_programs(outcomes: &[Outcome]) {
    let groups =
        || outcomes.iter().filter_map(|group| Some((group.title.strip_prefix(TIME)?, group)));
    let mut series: Vec<&str> = Vec::new();
    for (_, group) in groups() {
        for case in &group.cases {
            if !series.contains(&allocator(&case.name)) {
                series.push(allocator(&case.name));
            }
        }
    }
    let band = |(program, group): (_, &Outcome)| {
        let dot = |(i, name): (usize, &&str)| {
            let cases = group.cases.iter().filter(|case| allocator(&case.name) == *name);
            let fastest = cases.min_by(|a, b| a.time().median.total_cmp(&b.time().median))?;
            Some(Dot::of(i, fastest))
        };
        (program, series.iter().enumerate().filter_map(dot).collect())
    };
    let bands: Vec<Band<'_>> = groups().map(band).collect();
    save("programs.svg", "Whole programs", &series, &bands);
}

fn save(file: &str, title: &str, series: &[&str], bands: &[Band<'_>]) {
    fs::create_dir_all(charts()).expect("the directory of charts can be made");
    let svg = draw(title, series, bands).unwrap_or_else(|error| panic!("{file}: {error}"));
    fs::write(charts().join(file), svg + "\n").expect("the chart can be written");
}

fn bands(table: &Table, series: &[&str], outcomes: &[Outcome]) -> Vec<Band<'static>> {
    let rows = series.iter().map(|label| {
        let row = table.rows.iter().find(|row| row.label == *label);
        row.unwrap_or_else(|| panic!("{} has no row {label}", table.title))
    });
    let rows: Vec<_> = rows.collect();
    let band = |&(title, label): &(&str, &'static str)| {
        let group = group(outcomes, title);
        let case = |(i, row): (usize, &&Row)| Some(Dot::of(i, row.case(group)?));
        (label, rows.iter().enumerate().filter_map(case).collect())
    };
    table.columns.iter().map(band).collect()
}

/// Powers of ten, and 2 and 5 times those unless there are many.
fn ticks(least: f64, most: f64) -> Vec<f64> {
    let steps = if most / least > 1000.0 { &[1.0][..] } else { &[1.0, 2.0, 5.0] };
    let powers = (-3..12).map(|power| 10_f64.powi(power));
    let ticks = powers.flat_map(|power| steps.iter().map(move |step| step * power));
    ticks.filter(|tick| (least..most).contains(tick)).collect()
}

/// A time in the unit that suits it.
fn written(ns: f64) -> String {
    let units = [("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0)];
    let (unit, size) = units.into_iter().find(|(_, size)| ns >= *size).unwrap_or(("ns", 1.0));
    format!("{} {unit}", (ns / size * 100.0).round() / 100.0)
}

fn draw(title: &str, series: &[&str], bands: &[Band<'_>]) -> Result<String, Box<dyn Error>> {
    let all = || bands.iter().flat_map(|(_, dots)| dots);
    let times = || all().map(|dot| dot.time);
    let least = times().map(|time| time.low).fold(f64::INFINITY, f64::min) / 1.3;
    let most = times().map(|time| time.high).fold(0.0, f64::max) * 1.3;
    let height = 100 + BAND * bands.len() as u32;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 24))
            .margin(8)
            .margin_right(LEGEND)
            .x_label_area_size(44)
            .y_label_area_size(LABELS)
            .build_cartesian_2d((least..most).log_scale(), 0.0..bands.len() as f64)?;
        for band in (0..bands.len()).step_by(2) {
            let (top, bottom) = (bands.len() - band, bands.len() - band - 1);
            let corners = [(least, top as f64), (most, bottom as f64)];
            chart.draw_series([Rectangle::new(corners, BAND_BACKGROUND.filled())])?;
        }
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .x_label_formatter(&|_| String::new())
            .y_labels(0)
            .axis_desc_style(("sans-serif", TEXT))
            .x_desc("time: median and quartiles; filled dots are this library")
            .draw()?;
        // The library would mark powers of ten only.
        let text = ("sans-serif", TEXT).into_font();
        let centred = text.clone().into_text_style(&area).pos(Pos::new(HPos::Center, VPos::Top));
        for ns in ticks(least, most) {
            chart.draw_series([PathElement::new(
                vec![(ns, 0.0), (ns, bands.len() as f64)],
                BLACK.mix(0.15),
            )])?;
            let (x, y) = chart.backend_coord(&(ns, 0.0));
            area.draw(&Text::new(written(ns), (x, y + 6), centred.clone()))?;
        }
        for (band, (_, dots)) in bands.iter().enumerate() {
            for Dot { series: number, is_ours, time: Quartiles { low, median, high } } in dots {
                let color = COLORS[number % COLORS.len()];
                let step = 0.86 / series.len() as f64;
                let y = (bands.len() - band) as f64 - 0.07 - step * (*number as f64 + 0.5);
                let line = vec![(*low, y), (*high, y)];
                chart.draw_series([PathElement::new(line, color.stroke_width(2))])?;
                let style = if *is_ours { color.filled() } else { color.stroke_width(2) };
                chart.draw_series([Circle::new((*median, y), 4, style)])?;
            }
        }
        // The labels of the bands and the legend lie beside the axes.
        for (band, (label, _)) in bands.iter().enumerate() {
            let middle = bands.len() as f64 - band as f64 - 0.5;
            let (x, y) = chart.backend_coord(&(least, middle));
            let label = label.replace('`', "");
            let anchor = Pos::new(HPos::Right, VPos::Center);
            area.draw(&Text::new(
                label,
                (x - 8, y),
                text.clone().into_text_style(&area).pos(anchor),
            ))?;
        }
        let left = (WIDTH - LEGEND + 12) as i32;
        let is_ours = |series| all().any(|dot| dot.series == series && dot.is_ours);
        for (number, label) in series.iter().enumerate() {
            let (color, y) = (COLORS[number % COLORS.len()], 44 + 20 * number as i32);
            let style = if is_ours(number) { color.filled() } else { color.stroke_width(2) };
            area.draw(&Circle::new((left, y), 4, style))?;
            area.draw(&Text::new(label.to_string(), (left + 10, y - 7), text.clone()))?;
        }
        area.present()?;
    }
    Ok(svg)
}
