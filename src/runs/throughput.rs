//! The speed of a sweep, from its Job and pods. Pure.

use chrono::{DateTime, Utc};

use crate::k8s::pod::{ContainerStatus, Pod};
use crate::runs::pods::Stage;
use crate::runs::state::{Run, age};

/// How many pods a stock cluster starts per second: the limit of its Job controller.
pub const PODS_A_SECOND: usize = 10;

/// The least number of points for which advice is given.
const FEW: usize = 100;

/// How long a pod with short points should take.
const WORTH: i64 = 30;

/// The rate at which points end, and the remaining time; `None` if no point has ended or none is running.
pub fn rate(run: &Run, ended: usize, all: usize, now: DateTime<Utc>) -> Option<String> {
    let seconds = (now - run.span.0?).num_seconds();
    // while nothing runs, the remaining time is unknown
    if !run.pods().iter().any(|pod| Stage::of(pod) == Stage::Running) {
        return None;
    }
    if run.phase.is_final() || ended == 0 || seconds < 1 {
        return None;
    }
    let (ended, left) = (i64::try_from(ended).ok()?, i64::try_from(all.checked_sub(ended)?).ok()?);
    let rate = match ended.saturating_mul(60) / seconds {
        0 => match ended.saturating_mul(3600) / seconds {
            0 => "less than one an hour".to_owned(),
            rate => format!("{rate} an hour"),
        },
        rate => format!("{rate} a minute"),
    };
    Some(format!("{rate}, about {} left", age(left.saturating_mul(seconds) / ended)))
}

/// Advises to run several points per pod, if starting the pods takes the cluster longer than running them.
pub fn short(run: &Run) -> Option<String> {
    let (points, per_pod) = run.job().packing();
    let points = usize::try_from(points).ok()?;
    if per_pod > 1 || points < FEW {
        return None;
    }
    let parallel = usize::try_from(run.job().parallelism()?).ok()?;
    let took = |pod: Pod| {
        let ended =
            pod.statuses().filter_map(ContainerStatus::terminated).find(|ended| ended.exit_code() == Some(0))?;
        Some((ended.finished()? - ended.started()?).num_seconds())
    };
    let mut seconds: Vec<i64> = run.pods().iter().filter_map(took).collect();
    seconds.sort_unstable();
    let median = *seconds.get(seconds.len() / 2)?;
    let busy = i64::try_from(parallel / PODS_A_SECOND).ok()?;
    if seconds.len() < FEW / 2 || median >= busy {
        return None;
    }
    // the number that leaves a few pods for each parallel place
    let packed = usize::try_from(WORTH / median.max(1)).ok()?.min(points / 20).clamp(2, 100);
    // the cluster reports whole seconds
    let took = median.max(1);
    Some(format!(
        "half of the points took {took} s or less, and a cluster starts only some {PODS_A_SECOND} pods a second: \
         next time let them share pods with `--points-per-pod {packed}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::object::with;
    use crate::runs::state::runs;
    use serde_json::json;

    fn run(points: u64, seconds: u64, packed: u64) -> Run {
        let job = json!({"kind": "Job", "metadata": {"name": "a", "uid": "u", "annotations": {"mrunner/points-per-pod": packed.to_string()}},
            "spec": {"completions": points, "parallelism": 100}, "status": {"startTime": "2026-11-23T06:00:00Z", "succeeded": 60}});
        let ended = json!({"exitCode": 0, "startedAt": "2026-11-23T06:00:00Z", "finishedAt": format!("2026-11-23T06:00:{seconds:02}Z")});
        let pod = json!({"kind": "Pod", "metadata": {"ownerReferences": [{"uid": "u"}]},
            "status": {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": ended}}]}});
        runs(std::iter::repeat_n(pod, 60).chain([job]).collect()).pop().unwrap()
    }

    #[test]
    fn short_points_should_share_pods() {
        let words = short(&run(1000, 3, 1)).unwrap();
        assert!(words.starts_with("half of the points took 3 s or less") && words.ends_with("`--points-per-pod 10`"));
        let words = short(&run(200, 0, 1)).unwrap();
        assert!(words.starts_with("half of the points took 1 s or less") && words.ends_with("`--points-per-pod 10`"));
        assert_eq!(short(&run(1000, 10, 1)), None, "a cluster starts them as fast as they end");
        assert_eq!(short(&run(99, 1, 1)), None);
        assert_eq!(short(&run(1000, 1, 20)), None);
    }

    #[test]
    fn the_pace_tells_how_much_is_left() {
        let now = |text: &str| text.parse().unwrap();
        let mut run = run(100, 3, 1);
        assert_eq!(rate(&run, 60, 90, now("2026-11-23T06:02:00Z")), None, "nothing runs");
        run.pods[0] = with(&run.pods[0], &["status"], json!({"phase": "Running"}));
        assert_eq!(rate(&run, 60, 90, now("2026-11-23T06:02:00Z")).unwrap(), "30 a minute, about 60s left");
        assert_eq!(rate(&run, 2, 4, now("2026-11-24T06:00:00Z")).unwrap(), "less than one an hour, about 24h left");
        assert_eq!(rate(&run, 0, 4, now("2026-11-24T06:00:00Z")), None);
    }
}
