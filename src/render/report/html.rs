//! The page.

use std::fmt::Write;

use super::figure::{maps, photograph};
use super::map::{colours, ramp};
use super::{Block, Report, Section, Subject};
use crate::error::Result;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The report as one HTML file that needs nothing else: no network, and no JavaScript for anything
/// but reading values off the maps and clipping their scales.
///
/// # Errors
/// When a picture cannot be encoded.
pub fn page(report: &Report) -> Result<String> {
    let ramp = ramp();
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n:root {{ --ramp: {ramp}; }}\n{STYLE}</style>\n</head>\n<body>\n<header class=\"top\">\n<h1>{0}</h1>\n\
         <p>{}</p>\n</header>\n",
        escaped(&report.title),
        escaped(&report.subtitle)
    );
    if report.subjects.len() > 1 {
        html.push_str(&contents(&report.subjects)?);
    }
    html.push_str(&tools(report.clip));
    for (index, subject) in report.subjects.iter().enumerate() {
        html.push_str(&article(subject, index, report.clip)?);
    }
    html.push_str(&facts(&report.facts));
    let _ = write!(
        html,
        "<script>\nconst COLOURS = \"{}\";\n{SCRIPT}</script>\n</body>\n</html>\n",
        colours()
    );
    Ok(html)
}

fn contents(subjects: &[Subject]) -> Result<String> {
    let mut html = String::from("<nav class=\"contents\" aria-label=\"Pictures\">\n");
    for (index, subject) in subjects.iter().enumerate() {
        let _ = writeln!(
            html,
            "<a href=\"#s{index}\">{}<b>{}</b><span>{}</span></a>",
            photograph(subject.picture.view(), &subject.name)?,
            escaped(&subject.headline),
            escaped(&subject.name)
        );
    }
    html.push_str("</nav>\n");
    Ok(html)
}

/// What the script shows: a slider for the percentile at which scales are clipped.
fn tools(clip: Option<f64>) -> String {
    let clip = clip.unwrap_or(100.0);
    format!(
        "<form class=\"tools\" hidden><label>Full colour at the <input type=\"range\" id=\"clip\" \
         min=\"80\" max=\"100\" step=\"0.1\" value=\"{clip}\"> <output id=\"clipped\">{clip}</output>th \
         percentile of |a|</label></form>\n"
    )
}

fn article(subject: &Subject, index: usize, clip: Option<f64>) -> Result<String> {
    let mut html = format!(
        "<article id=\"s{index}\">\n<div class=\"lead\">\n{}\n<div>\n<p class=\"file\">{}</p>\n\
         <h2>{}</h2>\n<ol class=\"scores\">\n",
        photograph(subject.picture.view(), &subject.name)?,
        escaped(&subject.name),
        escaped(&subject.headline),
    );
    for (name, score) in &subject.scores {
        let _ = writeln!(
            html,
            "<li><span>{}</span><i style=\"--share:{:.4}\"></i><b>{:.4}</b></li>",
            escaped(name),
            score,
            score
        );
    }
    let _ =
        write!(html, "</ol>\n<p class=\"small\">{}</p>\n</div>\n</div>\n", escaped(&subject.scale));
    for part in &subject.sections {
        html.push_str(&section(part, clip)?);
    }
    html.push_str("</article>\n");
    Ok(html)
}

fn section(section: &Section, clip: Option<f64>) -> Result<String> {
    let mut html = format!(
        "<section class=\"{}\">\n<h3>{}</h3>\n",
        escaped(&section.slug),
        escaped(&section.title)
    );
    for block in &section.blocks {
        match block {
            Block::Text(text) => {
                // Equations stay in one line.
                let whole = text.replace(" = ", "\u{a0}=\u{a0}").replace(" + ", "\u{a0}+\u{a0}");
                let _ = writeln!(html, "<p>{}</p>", escaped(&whole));
            }
            Block::Maps(rows) => html.push_str(&maps(rows, clip)?),
            Block::Curves(curves) => {
                let drawn: Vec<String> = curves.iter().map(super::Curve::svg).collect();
                let _ = writeln!(html, "<div class=\"curves\">{}</div>", drawn.concat());
            }
            Block::Shares(shares) => html.push_str(&bars(shares)),
            Block::Table(rows) => html.push_str(&table(rows)),
        }
    }
    html.push_str("</section>\n");
    Ok(html)
}

/// Bars to the left and right of zero, the longest of them as long as there is room.
fn bars(shares: &[(String, f64)]) -> String {
    let largest = shares.iter().fold(0f64, |largest, (_, v)| largest.max(v.abs()));
    let mut html = String::from("<ul class=\"shares\">\n");
    for (name, value) in shares {
        let share = if largest > 0.0 { value.abs() / largest } else { 0.0 };
        let side = if *value < 0.0 { "below" } else { "above" };
        let _ = writeln!(
            html,
            "<li><span>{}</span><i class=\"{side}\" style=\"--share:{share:.4}\"></i><b>{}</b></li>",
            escaped(name),
            number(*value, 3)
        );
    }
    html.push_str("</ul>\n");
    html
}

fn table(rows: &[Vec<String>]) -> String {
    let mut html = String::from("<div class=\"wide\"><table>\n");
    for (index, row) in rows.iter().enumerate() {
        let cell = if index == 0 { "th" } else { "td" };
        let cells: Vec<String> =
            row.iter().map(|text| format!("<{cell}>{}</{cell}>", escaped(text))).collect();
        let _ = writeln!(html, "<tr>{}</tr>", cells.concat());
    }
    html.push_str("</table></div>\n");
    html
}

fn facts(facts: &[(String, String)]) -> String {
    let mut html = String::from("<footer>\n<h3>What was run, and how</h3>\n<dl>\n");
    for (name, value) in facts {
        let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
    }
    html.push_str("</dl>\n</footer>\n");
    html
}

/// The text with the signs that mean something in HTML written out.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A number for people, with so many significant digits: `0.00123`, `−4.5×10⁻⁷`.
pub fn number(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let digits = digits.max(1);
    let text = format!("{:.*e}", digits - 1, value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if value < 0.0 { "−" } else { "" };
    if (-3..6).contains(&exponent) {
        let places = (digits as i32 - 1 - exponent).max(0) as usize;
        return format!("{sign}{:.places$}", value.abs());
    }
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    };
    let power: String = exponent.to_string().chars().map(raised).collect();
    match mantissa {
        "1" => format!("{sign}10{power}"),
        _ => format!("{sign}{mantissa}×10{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::report::tests::report;

    #[test]
    fn a_page_needs_nothing_else() {
        let html = page(&report()).unwrap();
        for outside in ["http:", "https:", "src=\"/", "@import", "<link", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        for tag in ["article", "section", "figure", "table", "ul", "ol", "div", "svg", "script"] {
            let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
            assert_eq!(html.matches(&open).count(), html.matches(&close).count(), "{tag}");
        }
        assert!(html.contains("a &lt;cat&gt;.png[0]") && !html.contains("<cat>"));
        assert!(html.contains("class=\"label boxed\"") && html.contains("all zero"));
    }

    #[test]
    fn one_picture_needs_no_contents() {
        let mut report = report();
        assert!(!page(&report).unwrap().contains("<nav"));
        report.subjects.push(report.subjects[0].clone());
        assert_eq!(page(&report).unwrap().matches("<a href=\"#s").count(), 2);
    }

    #[test]
    fn numbers_are_short_and_keep_their_digits() {
        let cases = [
            (0.0, 3, "0"),
            (12.3456, 3, "12.3"),
            (-0.001234, 2, "−0.0012"),
            (123_456.7, 3, "123457"),
            (0.99996, 3, "1.00"),
            (-4.56e-7, 2, "−4.6×10⁻⁷"),
            (1e12, 1, "10¹²"),
            (f64::NAN, 2, "NaN"),
        ];
        for (value, digits, expected) in cases {
            assert_eq!(number(value, digits), expected);
        }
    }

    #[test]
    fn bars_point_to_their_side() {
        let html = bars(&[("a".into(), -2.0), ("b".into(), 1.0), ("c".into(), 0.0)]);
        assert!(html.contains("class=\"below\" style=\"--share:1.0000\""));
        assert!(html.contains("class=\"above\" style=\"--share:0.5000\""));
        assert!(bars(&[("a".into(), 0.0)]).contains("--share:0.0000"));
    }
}
