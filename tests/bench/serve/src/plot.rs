//! A plot of the rates. The x axis shows the payload and the y axis the events per second. Both are logarithmic.

use std::path::Path;

use plotters::prelude::*;
use wasmtime::{Error, Result, format_err};

use crate::contender::Contender;
use crate::{Rates, size};

const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
];

/// Writes the plot to `path`.
pub(crate) fn draw(path: &Path, rates: &[Rates]) -> Result<()> {
    let failed = |cause: &dyn std::error::Error| -> Error { format_err!("{cause}") };
    let canvas = SVGBackend::new(path, (900, 520)).into_drawing_area();
    canvas.fill(&WHITE).map_err(|cause| failed(&cause))?;
    let all = rates.iter().flat_map(|rates| &rates.events_per_second);
    let (slowest, fastest) = all.fold((f64::MAX, 0.0_f64), |(low, high), rate| (low.min(*rate), high.max(*rate)));
    let smallest = rates.first().map_or(1, |rates| rates.payload);
    let largest = rates.last().map_or(10, |rates| rates.payload);
    let mut chart = ChartBuilder::on(&canvas)
        .margin(16)
        .caption("Events per second, by the size of the payload", ("sans-serif", 18))
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((smallest..largest).log_scale(), (slowest / 1.5..fastest * 1.5).log_scale())
        .map_err(|cause| failed(&cause))?;
    chart
        .configure_mesh()
        .x_labels(rates.len())
        .x_label_formatter(&|payload| size(*payload))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .light_line_style(RGBColor(235, 235, 235))
        .draw()
        .map_err(|cause| failed(&cause))?;
    for (index, (contender, colour)) in Contender::ALL.into_iter().zip(COLOURS).enumerate() {
        let points = rates.iter().map(|rates| (rates.payload, rates.events_per_second[index]));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))
            .map_err(|cause| failed(&cause))?
            .label(contender.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()
        .map_err(|cause| failed(&cause))?;
    canvas.present().map_err(|cause| failed(&cause))
}
