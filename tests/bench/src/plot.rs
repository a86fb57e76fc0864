//! An SVG plot of the growth of costs. Both axes are logarithmic, so a cost that is proportional to the size is a line
//! of slope 1.

use std::fmt::Write as _;

use crate::growth::Growth;

const PANEL: f64 = 250.0;
const GAP: f64 = 70.0;
const TOP: f64 = 30.0;
const HEIGHT: f64 = 200.0;

/// A range of powers of ten.
struct Axis {
    low: f64,
    high: f64,
    /// The start and the end of the axis, in pixels.
    pixels: [f64; 2],
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, pixels: [f64; 2]) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let high = values.fold(f64::NEG_INFINITY, f64::max).log10().ceil();
        Self { low, high: high.max(low + 1.0), pixels }
    }

    fn at(&self, value: f64) -> f64 {
        let [start, end] = self.pixels;
        start + (value.log10() - self.low) / (self.high - self.low) * (end - start)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the powers are small whole numbers")]
    fn powers(&self) -> impl Iterator<Item = i32> + use<> {
        self.low as i32..=self.high as i32
    }
}

/// The plot, with a panel for each growth.
#[must_use]
pub fn svg(all: &[Growth]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "there are few panels")]
    let width = GAP + all.len() as f64 * (PANEL + GAP);
    let height = TOP + HEIGHT + 50.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut left = GAP;
    for growth in all {
        panel(&mut svg, growth, left);
        left += PANEL + GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "no size comes near 2^52")]
fn panel(svg: &mut String, growth: &Growth, left: f64) {
    let (bottom, right) = (TOP + HEIGHT, left + PANEL);
    let points: Vec<_> = growth.points.iter().map(|(size, time)| (*size as f64, time.as_secs_f64() * 1e3)).collect();
    let x = Axis::over(points.iter().map(|(size, _)| *size), [left, right]);
    let y = Axis::over(points.iter().map(|(_, time)| *time), [bottom, TOP]);
    let mut line = |[x1, y1, x2, y2]: [f64; 4], style: &str| {
        let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>");
    };
    let grid = "stroke=\"#ddd\"";
    for power in x.powers() {
        let at = x.at(10f64.powi(power));
        line([at, TOP, at, bottom], grid);
    }
    for power in y.powers() {
        let at = y.at(10f64.powi(power));
        line([left, at, right, at], grid);
    }
    // The dashed line goes through the last point. It shows a cost that is proportional to the size.
    if let Some((size, time)) = points.last() {
        let low = 10f64.powf(y.low);
        let start = (size * low / time).max(10f64.powf(x.low));
        line(
            [x.at(start), y.at(time * start / size), x.at(*size), y.at(*time)],
            "stroke=\"#999\" stroke-dasharray=\"4\"",
        );
    }
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
    };
    for power in x.powers().step_by(3) {
        text(
            x.at(10f64.powi(power)),
            bottom + 16.0,
            "middle",
            &format!("10<tspan dy=\"-4\" font-size=\"8\">{power}</tspan>"),
        );
    }
    for power in y.powers() {
        let value = 10f64.powi(power);
        let label = if power < 3 { format!("{value} ms") } else { format!("{} s", value / 1e3) };
        text(left - 6.0, y.at(value) + 4.0, "end", &label);
    }
    text(left + PANEL / 2.0, bottom + 36.0, "middle", growth.what);
    text(left, TOP - 12.0, "start", "CPU time of `kvwatch run`; dashed: slope 1");
    let path: Vec<_> = points.iter().map(|(size, time)| format!("{:.1},{:.1}", x.at(*size), y.at(*time))).collect();
    let _ =
        writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\"/>", path.join(" "));
    for (size, time) in points {
        let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#1f6feb\"/>", x.at(size), y.at(time));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_point_is_inside_its_panel() {
        let points = [(1, 9), (1000, 12), (1_000_000, 4000)];
        let points = points.map(|(size, millis)| (size, Duration::from_millis(millis))).to_vec();
        let svg = svg(&[Growth { what: "events", points }]);
        let circles: Vec<_> = svg.lines().filter(|line| line.starts_with("<circle")).collect();
        assert_eq!(circles.len(), 3);
        for circle in circles {
            let number = |name: &str| {
                let rest = circle.split_once(&format!("{name}=\"")).unwrap().1;
                rest.split_once('"').unwrap().0.parse::<f64>().unwrap()
            };
            assert!((GAP..=GAP + PANEL).contains(&number("cx")), "{circle}");
            assert!((TOP..=TOP + HEIGHT).contains(&number("cy")), "{circle}");
        }
    }
}
