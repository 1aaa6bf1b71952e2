//! Queues of keys that are called by numbers: a key is in one of some queues or in none, and leaves from anywhere.

/// No key, or the end of a queue.
pub(super) const NONE: u32 = u32::MAX;

/// Some queues, which keys enter at the front.
pub(super) struct Queues<const COUNT: usize> {
    links: Vec<Link>,
    /// What the keys of each take.
    pub(super) bytes: [u64; COUNT],
    ends: [Link; COUNT],
}

#[derive(Clone, Copy)]
struct Link {
    /// Towards the front; of a queue its back.
    ahead: u32,
    /// Towards the back; of a queue its front.
    behind: u32,
    queue: u8,
}

const OUTSIDE: Link = Link { ahead: NONE, behind: NONE, queue: u8::MAX };

impl<const COUNT: usize> Queues<COUNT> {
    pub(super) fn new(keys: usize) -> Self {
        Queues { links: vec![OUTSIDE; keys], bytes: [0; COUNT], ends: [OUTSIDE; COUNT] }
    }

    /// The queue that a key is in.
    pub(super) fn queue_of(&self, key: u32) -> Option<usize> {
        let queue = usize::from(self.links[key as usize].queue);
        (queue < COUNT).then_some(queue)
    }

    pub(super) fn enter(&mut self, queue: usize, key: u32, size: u32) {
        let front = self.ends[queue].behind;
        self.links[key as usize] = Link { ahead: NONE, behind: front, queue: queue as u8 };
        match front {
            NONE => self.ends[queue].ahead = key,
            front => self.links[front as usize].ahead = key,
        }
        self.ends[queue].behind = key;
        self.bytes[queue] += u64::from(size);
    }

    pub(super) fn leave(&mut self, key: u32, size: u32) {
        let Link { ahead, behind, queue } = std::mem::replace(&mut self.links[key as usize], OUTSIDE);
        let queue = usize::from(queue);
        match ahead {
            NONE => self.ends[queue].behind = behind,
            ahead => self.links[ahead as usize].behind = behind,
        }
        match behind {
            NONE => self.ends[queue].ahead = ahead,
            behind => self.links[behind as usize].ahead = ahead,
        }
        self.bytes[queue] -= u64::from(size);
    }

    /// The key that has been in a queue for longest.
    pub(super) fn back(&self, queue: usize) -> Option<u32> {
        Some(self.ends[queue].ahead).filter(|key| *key != NONE)
    }

    /// The key that entered its queue after this one.
    pub(super) fn ahead_of(&self, key: u32) -> Option<u32> {
        Some(self.links[key as usize].ahead).filter(|key| *key != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::Queues;

    #[test]
    fn keys_leave_from_anywhere_and_the_oldest_is_at_the_back() {
        let mut queues = Queues::<2>::new(5);
        (0..5).for_each(|key| queues.enter(1, key, 2));
        queues.leave(0, 2);
        queues.leave(2, 2);
        queues.leave(4, 2);
        assert_eq!(queues.bytes, [0, 4]);
        assert_eq!((queues.back(1), queues.ahead_of(1), queues.ahead_of(3)), (Some(1), Some(3), None));
        queues.enter(0, 2, 1);
        assert_eq!((queues.back(0), queues.queue_of(2), queues.queue_of(4)), (Some(2), Some(0), None));
    }
}
