//! `oom-score-adj`: how willingly the kernel ends this process when memory runs out (Linux only).
//!
//! The score of the process as it was found is remembered before the first change, and written back when the
//! directive returns to `no`. This server has no replica and no forked child, so of `oom-score-adj-values`
//! only the first one, the primary's, is used.

use super::directives::slot;
use super::value::Value;
use super::{ApplyError, Config};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

/// Where Linux keeps the score.
const SCORE_FILE: &str = "/proc/self/oom_score_adj";
/// The kernel's range.
const SCORE_MAX: i32 = 1000;

/// `oom-score-adj`'s values as stored.
const NO: i64 = 0;
const RELATIVE: i64 = 1;

/// The score file, and what stood in it before this process changed it.
pub(super) struct OomScore {
    file: PathBuf,
    found: Mutex<Option<i32>>,
}

impl OomScore {
    pub(super) fn new() -> OomScore {
        OomScore::at(Path::new(SCORE_FILE))
    }

    fn at(file: &Path) -> OomScore {
        OomScore { file: file.to_path_buf(), found: Mutex::new(None) }
    }

    /// Writes the score that `mode` and `score` ask for.
    fn apply(&self, mode: i64, score: i32) -> io::Result<()> {
        // The remembered score is replaced whole: what a panicking thread left behind is sound.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if mode == NO {
            return match found.take() {
                Some(score) => fs::write(&self.file, score.to_string()),
                None => Ok(()),
            };
        }
        let base = match *found {
            Some(base) => base,
            None => {
                let text = fs::read_to_string(&self.file)?;
                text.trim().parse().map_err(io::Error::other)?
            }
        };
        *found = Some(base);
        let wanted = if mode == RELATIVE { base + score } else { score };
        fs::write(&self.file, wanted.clamp(-SCORE_MAX, SCORE_MAX).to_string())
    }
}

impl Config {
    /// Puts `oom-score-adj` and `oom-score-adj-values` into effect: at the start, and after a change.
    pub fn apply_oom_score(&self) -> Result<(), ApplyError> {
        const MODE: usize = slot("oom-score-adj");
        const SCORES: usize = slot("oom-score-adj-values");
        let (mode, score) = match (&self.values()[MODE], &self.values()[SCORES]) {
            (Value::Number(mode), Value::OomScores([primary, ..])) => (*mode, *primary),
            other => unreachable!("oom-score-adj holds {other:?}"),
        };
        self.oom_score.apply(mode, score).map_err(|_| ApplyError {
            directive: "oom-score-adj",
            reason: "Failed to set current oom_score_adj. Check server logs.".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_set_and_brought_back() {
        const ABSOLUTE: i64 = 2;
        let file = std::env::temp_dir().join(format!("swytch-oom-score-{}", std::process::id()));
        fs::write(&file, "300\n").expect("written");
        let score = OomScore::at(&file);
        let check = |mode, wanted, expected: &str| {
            score.apply(mode, wanted).expect("applied");
            let text = fs::read_to_string(&file).expect("readable");
            assert_eq!(text.trim(), expected, "mode {mode}, wanted {wanted}");
        };
        check(NO, 7, "300");
        check(RELATIVE, 7, "307");
        check(RELATIVE, 900, "1000");
        check(ABSOLUTE, -5, "-5");
        check(NO, 7, "300");
        check(RELATIVE, 1, "301");
        fs::remove_file(&file).expect("removed");
        OomScore::at(&file).apply(ABSOLUTE, 1).expect_err("there is no such file");
        OomScore::at(&file).apply(NO, 1).expect("nothing to do");
    }
}
