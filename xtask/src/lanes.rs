//! Work of several pieces that keeps no core busy by itself, done side by side.
use std::collections::VecDeque;
use std::sync::Mutex;

/// Lanes at most: what is judged must not wait for a core more often than on a machine in use.
const LANES_MAX: usize = 2;

/// As many lanes as there are cores, up to [`LANES_MAX`].
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(LANES_MAX)
}

/// Does each piece of work in one of the lanes, begun in their order, and gives what came of them in their order.
/// What a lane owns (`lanes` has one for each) is lent to the piece that runs in it.
pub(crate) fn each<L: Send, T: Send, R: Send>(
    lanes: &mut [L],
    work: impl IntoIterator<Item = T>,
    run: impl Fn(&mut L, T) -> R + Sync,
) -> Vec<R> {
    let waiting: Mutex<VecDeque<(usize, T)>> = Mutex::new(work.into_iter().enumerate().collect());
    let ended = Mutex::new(Vec::new());
    let next = || waiting.lock().expect("no thread panics with it").pop_front();
    std::thread::scope(|scope| {
        for lane in lanes {
            scope.spawn(|| {
                while let Some((place, piece)) = next() {
                    let result = run(lane, piece);
                    ended.lock().expect("no thread panics with it").push((place, result));
                }
            });
        }
    });
    let mut ended = ended.into_inner().expect("no thread panics with it");
    ended.sort_by_key(|&(place, _)| place);
    ended.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work_and_each_lane_keeps_what_it_owns() {
        let mut done = [0, 0];
        let squares = each(&mut done, 0..100, |done, number| {
            *done += 1;
            number * number
        });
        assert_eq!(squares, (0..100).map(|number| number * number).collect::<Vec<_>>());
        assert_eq!(done.iter().sum::<u32>(), 100);
    }
}
