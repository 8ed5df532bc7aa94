// SPDX-License-Identifier: Apache-2.0
//! Who held what, and when: as bars of text, and as a drawing.

use aegis_memory::budget::MemoryBudget;
use plotters::prelude::*;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Mutex;

const MIB: usize = 1 << 20;
const COLORS: [RGBColor; 4] =
    [RGBColor(96, 125, 139), RGBColor(25, 118, 210), RGBColor(245, 124, 0), RGBColor(56, 142, 60)];

/// The use of each consumer at one moment. The event is empty for a moment that only the drawing
/// shows.
struct Sample {
    event: String,
    used: Vec<usize>,
}

/// Samples of the use of some budgets.
pub struct Timeline {
    limit: usize,
    consumers: Vec<MemoryBudget>,
    samples: Mutex<Vec<Sample>>,
}

impl Timeline {
    pub fn new(limit: usize, consumers: &[&MemoryBudget]) -> Self {
        let consumers = consumers.iter().map(|&consumer| consumer.clone()).collect();
        Self { limit, consumers, samples: Mutex::default() }
    }

    /// Notes who holds what now.
    pub fn note(&self, event: &str) {
        let used = self.consumers.iter().map(MemoryBudget::used).collect();
        let sample = Sample { event: event.to_string(), used };
        self.samples.lock().expect("no panic").push(sample);
    }

    /// Prints a bar for each event. One letter, the first of a name, is 1 MiB.
    pub fn print(&self) {
        let width = self.limit / MIB;
        for sample in self.samples.lock().expect("no panic").iter() {
            if sample.event.is_empty() {
                continue;
            }
            let (mut bar, mut sum) = (String::new(), 0);
            for (consumer, used) in self.consumers.iter().zip(&sample.used) {
                sum += used;
                let letter = consumer.name()[..1].to_uppercase();
                bar += &letter.repeat(((sum + MIB / 2) / MIB).saturating_sub(bar.len()));
            }
            println!("  {:<31} |{bar:<width$}|", sample.event);
        }
    }

    /// Draws the same as areas on top of each other into an SVG file.
    pub fn draw(&self, path: &Path) -> io::Result<()> {
        self.chart(path).map_err(|error| io::Error::other(error.to_string()))
    }

    fn chart(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let samples = self.samples.lock().expect("no panic");
        let end = samples.len() as f64;
        let area = SVGBackend::new(path, (1000, 560)).into_drawing_area();
        area.fill(&WHITE)?;
        let top = (self.limit / MIB) as f64;
        let mut chart = ChartBuilder::on(&area)
            .caption("who holds how much of the database's memory", ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(50)
            .build_cartesian_2d(0.0..end, 0.0..top * 1.3)?;
        let mesh = &mut chart.configure_mesh();
        mesh.disable_x_mesh()
            .x_labels(0)
            .light_line_style(TRANSPARENT)
            .x_desc("events, in their order")
            .y_desc("MiB")
            .draw()?;
        // Each area reaches from 0 to the sum of its consumer and those before it. The largest one
        // is drawn first, and the next one covers its lower part.
        for (number, consumer) in self.consumers.iter().enumerate().rev() {
            let color = COLORS[number % COLORS.len()];
            let steps = samples.iter().enumerate().flat_map(|(at, sample)| {
                let sum: usize = sample.used[..=number].iter().sum();
                let sum = sum as f64 / MIB as f64;
                [(at as f64, sum), (at as f64 + 1.0, sum)]
            });
            chart.draw_series(AreaSeries::new(steps, 0.0, color))?.label(consumer.name()).legend(
                move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()),
            );
        }
        chart.draw_series([PathElement::new(vec![(0.0, top), (end, top)], RED)])?;
        let upward = ("sans-serif", 11).into_font().transform(FontTransform::Rotate270);
        for (at, sample) in
            samples.iter().enumerate().filter(|(_, sample)| !sample.event.is_empty())
        {
            let place = (at as f64 + 0.15, top * 0.04);
            chart.draw_series([Text::new(sample.event.clone(), place, upward.clone())])?;
        }
        let labels = &mut chart.configure_series_labels();
        labels.position(SeriesLabelPosition::UpperRight).background_style(WHITE).draw()?;
        area.present()?;
        Ok(())
    }
}
