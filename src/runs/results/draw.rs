//! Draws a plot, the same on a terminal and in an SVG file.

use std::io;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendStyle, BackendTextStyle, DrawingErrorKind};

use super::plot::Plot;
use crate::util::width::{cut, width, width_of};

/// The marks of the series in a terminal without colours.
const MARKS: [char; 8] = ['●', '○', '+', '×', '◆', '◇', '▲', '△'];

/// In a cell that the wide character before it covers.
const COVERED: char = '\0';

/// The size of an SVG.
const SIZE: (u32, u32) = (800, 500);

/// The smallest and the highest plot.
const ROOM: ((usize, usize), usize) = ((20, 8), 24);

/// The differences between a terminal and a file.
struct Look {
    margin: i32,
    /// The space for the axes' labels: below, and on the left.
    areas: (i32, i32),
    labels: (usize, usize),
    radius: u32,
    tick: i32,
    /// Whether the drawing includes names and legend.
    words: bool,
}

fn colour(series: usize) -> RGBColor {
    let (r, g, b) = Palette99::COLORS[series % MARKS.len()];
    RGBColor(r, g, b)
}

/// The plot as an SVG document.
pub fn svg(plot: &Plot) -> Result<String, String> {
    let mut text = String::new();
    let area = Paper::File(SVGBackend::with_string(&mut text, SIZE)).into_drawing_area();
    area.fill(&WHITE).map_err(|e| e.to_string())?;
    draw(&area, plot, &Look { margin: 16, areas: (45, 70), labels: (10, 8), radius: 4, tick: 5, words: true })?;
    drop(area);
    Ok(text)
}

/// The plot as lines of text, `columns` wide.
pub fn text(plot: &Plot, columns: usize, rows: usize) -> Result<String, String> {
    let (columns, rows) = (columns.max(ROOM.0.0), rows.clamp(ROOM.0.1, ROOM.1));
    let left = plot.y.labels().iter().map(|label| width(label)).max().unwrap_or(0).clamp(1, columns / 2) + 1;
    let widest = plot.x.labels().iter().map(|label| width(label)).max().unwrap_or(1);
    let labels = (((columns - left) / (widest + 2)).max(2), (rows / 3).max(2));
    let mut cells = vec![vec![' '; columns]; rows];
    let area = Paper::Terminal(&mut cells).into_drawing_area();
    let areas = (3, i32::try_from(left).unwrap_or(10));
    draw(&area, plot, &Look { margin: 0, areas, labels, radius: 1, tick: 1, words: false })?;
    drop(area);
    let mut lines = vec![plot.y.name.clone()];
    lines.extend(
        cells.iter().map(|row| row.iter().filter(|&&c| c != COVERED).collect::<String>().trim_end().to_owned()),
    );
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.push(" ".repeat(columns.saturating_sub(width(&plot.x.name))) + &plot.x.name);
    if plot.is_split() {
        let named = |(at, (name, _)): (usize, &(String, _))| format!("{} {name}", MARKS[at % MARKS.len()]);
        lines.extend(plot.series.iter().enumerate().map(named));
    }
    Ok(lines.iter().map(|line| cut(line, columns)).collect::<Vec<_>>().join("\n"))
}

fn draw(area: &DrawingArea<Paper, plotters::coord::Shift>, plot: &Plot, look: &Look) -> Result<(), String> {
    let told = |error: DrawingAreaErrorKind<io::Error>| error.to_string();
    let mut chart = ChartBuilder::on(area)
        .margin(look.margin)
        .x_label_area_size(look.areas.0)
        .y_label_area_size(look.areas.1)
        .build_cartesian_2d(plot.x.range(), plot.y.range())
        .map_err(told)?;
    let (x, y) = (|at: &f64| plot.x.label(*at), |at: &f64| plot.y.label(*at));
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(look.labels.0).y_labels(look.labels.1).x_label_formatter(&x).y_label_formatter(&y);
    mesh.disable_mesh().set_all_tick_mark_size(look.tick);
    if look.words {
        mesh.x_desc(&plot.x.name).y_desc(&plot.y.name).light_line_style(TRANSPARENT);
        mesh.label_style(("sans-serif", 14)).axis_desc_style(("sans-serif", 16));
    }
    mesh.draw().map_err(told)?;
    for (at, (name, points)) in plot.series.iter().enumerate() {
        let colour = colour(at);
        let circles = points.iter().map(|&point| Circle::new(point, look.radius, colour.filled()));
        let drawn = chart.draw_series(circles).map_err(told)?;
        if look.words && plot.is_split() {
            let radius = look.radius;
            drawn.label(name).legend(move |at| Circle::new(at, radius, colour.filled()));
        }
    }
    if look.words && plot.is_split() {
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw().map_err(told)?;
    }
    area.present().map_err(told)
}

/// The drawing area. One type for both, because the library is compiled again for each type.
enum Paper<'a> {
    /// An SVG file.
    File(SVGBackend<'a>),
    /// A terminal with one character per pixel.
    Terminal(&'a mut [Vec<char>]),
}

type Drawn = Result<(), DrawingErrorKind<io::Error>>;

/// Writes a character on a terminal.
fn put(cells: &mut [Vec<char>], (x, y): (i32, i32), new: char) {
    let row = usize::try_from(y).ok().and_then(|y| cells.get_mut(y));
    let cell = row.zip(usize::try_from(x).ok()).and_then(|(row, x)| row.get_mut(x));
    if let Some(cell) = cell {
        *cell = match (*cell, new) {
            ('─', '│') | ('│', '─') => '┼',
            // a point is never hidden by an axis
            (old, '─' | '│') if MARKS.contains(&old) => old,
            _ => new,
        };
    }
}

impl DrawingBackend for Paper<'_> {
    type ErrorType = io::Error;

    fn get_size(&self) -> (u32, u32) {
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        match self {
            Self::File(svg) => svg.get_size(),
            Self::Terminal(cells) => (size(cells.first().map_or(0, Vec::len)), size(cells.len())),
        }
    }

    fn ensure_prepared(&mut self) -> Drawn {
        if let Self::File(svg) = self { svg.ensure_prepared() } else { Ok(()) }
    }

    fn present(&mut self) -> Drawn {
        if let Self::File(svg) = self { svg.present() } else { Ok(()) }
    }

    fn draw_pixel(&mut self, at: (i32, i32), colour: BackendColor) -> Drawn {
        if let Self::File(svg) = self { svg.draw_pixel(at, colour) } else { Ok(()) }
    }

    fn draw_line<S: BackendStyle>(&mut self, from: (i32, i32), to: (i32, i32), style: &S) -> Drawn {
        match self {
            Self::File(svg) => return svg.draw_line(from, to, style),
            Self::Terminal(_) if style.color().alpha == 0.0 => {}
            Self::Terminal(cells) if from.0 == to.0 => {
                (from.1.min(to.1)..=from.1.max(to.1)).for_each(|y| put(cells, (from.0, y), '│'));
            }
            Self::Terminal(cells) if from.1 == to.1 => {
                (from.0.min(to.0)..=from.0.max(to.0)).for_each(|x| put(cells, (x, from.1), '─'));
            }
            Self::Terminal(_) => {}
        }
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: (i32, i32), to: (i32, i32), style: &S, fill: bool) -> Drawn {
        if let Self::File(svg) = self { svg.draw_rect(from, to, style, fill) } else { Ok(()) }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = (i32, i32)>>(&mut self, path: I, style: &S) -> Drawn {
        if let Self::File(svg) = self {
            return svg.draw_path(path, style);
        }
        let path: Vec<_> = path.into_iter().collect();
        path.windows(2).try_for_each(|pair| self.draw_line(pair[0], pair[1], style))
    }

    fn draw_circle<S: BackendStyle>(&mut self, centre: (i32, i32), radius: u32, style: &S, fill: bool) -> Drawn {
        match self {
            Self::File(svg) => svg.draw_circle(centre, radius, style, fill),
            Self::Terminal(cells) => {
                let is = |at: &usize| style.color().rgb == (colour(*at).0, colour(*at).1, colour(*at).2);
                put(cells, centre, MARKS[(0..MARKS.len()).find(is).unwrap_or(0)]);
                Ok(())
            }
        }
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = (i32, i32)>>(&mut self, path: I, style: &S) -> Drawn {
        if let Self::File(svg) = self { svg.fill_polygon(path, style) } else { Ok(()) }
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<io::Error>> {
        match self {
            Self::File(svg) => svg.estimate_text_size(text, style),
            Self::Terminal(_) => Ok((u32::try_from(width(text)).unwrap_or(u32::MAX), 1)),
        }
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: (i32, i32)) -> Drawn {
        let cells = match self {
            Self::File(svg) => return svg.draw_text(text, style, at),
            Self::Terminal(cells) => cells,
        };
        let width = i32::try_from(width(text)).unwrap_or(i32::MAX);
        let anchor = style.anchor();
        let left = match anchor.h_pos {
            HPos::Left => 0,
            HPos::Center => width / 2,
            HPos::Right => width,
        };
        let y = at.1 - i32::from(matches!(anchor.v_pos, VPos::Bottom));
        let mut x = at.0 - left;
        for c in text.chars() {
            put(cells, (x, y), c);
            x += 1;
            if width_of(c) > 1 {
                put(cells, (x, y), COVERED);
                x += 1;
            }
        }
        Ok(())
    }
}
