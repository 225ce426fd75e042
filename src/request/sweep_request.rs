//! The points of a run: what each gives to the script.

use serde_json::Value;

use super::parameters::ParamTemplate;
use crate::request::sweep::Sweep;
use crate::util::error::Fail;

/// A sweep with all that its points need.
#[derive(Debug, Clone)]
pub struct SweepRequest {
    /// The points.
    pub points: Sweep,
    /// How many may run at the same time.
    pub parallel: u32,
    /// How many a pod runs, one after the other.
    pub per_pod: u32,
    /// What each point makes of the parameters.
    pub(super) template: ParamTemplate,
    /// What starts the script, and its name.
    pub(super) program: Vec<String>,
    /// The user's own arguments.
    pub(super) args: Vec<String>,
}

/// One point, as its pod gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct PointRequest {
    /// Its parameters, by name.
    pub params: Value,
    /// Its parameters as arguments, between the program and the user's own arguments.
    pub words: Vec<String>,
}

impl SweepRequest {
    /// The program and the user's own arguments, which are every point's; and where among these words
    /// a point's parameters stand.
    pub fn command(&self) -> (Vec<String>, usize) {
        (self.program.iter().chain(&self.args).cloned().collect(), self.program.len())
    }

    /// Every point, in order. The first that lacks a required value is the error.
    pub fn requests(&self) -> Result<Vec<PointRequest>, Fail> {
        let one = |(index, point)| {
            let made = self.template.of(&point);
            let (params, words) =
                made.map_err(|fail| Fail { message: format!("point {index}: {}", fail.message), ..fail })?;
            Ok(PointRequest { params, words })
        };
        self.points.points().enumerate().map(one).collect()
    }
}
