//! How long a question or a change that got no clear answer is tried again.

use std::time::Duration;

/// How often an unclear answer is asked for again, and the pause before that, doubled each time: half a
/// minute in all.
pub const TRIES: u32 = 6;
/// But not for longer than this, where each answer takes its time.
pub const LONGEST: Duration = Duration::from_secs(90);
/// The first pause.
pub const FIRST_PAUSE: Duration = Duration::from_millis(500);
