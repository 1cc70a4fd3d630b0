//! Results as pictures.

pub mod chart;
mod colour;
mod font;
mod heatmap;
mod panel;
pub mod report;

pub use heatmap::{Options, Sign, heatmap};
pub use panel::{panel, picture, save_png};
