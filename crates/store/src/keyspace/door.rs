//! The door: the one way a key changes.
//!
//! A change finds its place, alters what is there, keeps what takes that back and says its op, in one call. All that can
//! alter a table is behind the door's functions, and each of these asks for the undo and the op next to the alteration,
//! so neither can be forgotten:
//!
//! - [`KeyspaceMut::change`] lends an [`Editor`] of a collection, whose [`Editor::alter`] is all there is to an op;
//! - `KeyspaceMut::alter` changes the entry of a key: strings, expiry, deletion;
//! - `KeyspaceMut::transfer` changes two collections as one change.
//!
//! Listeners hear undo and op together, under the locks. What they are told is put into words only if somebody listens:
//! unobserved, a change is its alteration and a count.

use std::ops::Deref;

use super::write::Foreseen;
use super::{Changes, Keyspace, KeyspaceMut, WrongType};
use crate::effect::{At, Effect, Event, KeyOp, Overwriting, Sink, Wants};
use crate::entry::{Entry, EntryRef, are_alike};
use crate::shard::Retired;
use crate::table::{Found, Table};
use crate::types::Op;
use crate::types::collection::Row;
use crate::types::content::Value;
use crate::types::limits::{EncodingLimits, SharedLimits};
use crate::undo::{EffectUndo, Undo};
use crate::usage::Usage;
use crate::{Key, Type, UnixMs};

/// An op does not fit the key it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit;

/// What a change does where there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It makes one.
    Create,
    /// Nothing.
    Leave,
}

/// The tables, to alter. Only the door makes one, next to what is said of the alteration.
#[derive(Debug)]
pub(crate) struct Tables<'v, 's> {
    base: &'v mut Keyspace<'s>,
    changes: &'v mut Changes,
    /// A key came to be.
    inserted: bool,
}

impl Tables<'_, '_> {
    /// The table that a key belongs to.
    #[inline]
    pub(crate) fn table(&mut self, key: &Key<'_>) -> &mut Table {
        self.base.table_mut(key)
    }

    /// Adds the entry of a key that has none.
    pub(crate) fn insert(&mut self, key: &Key<'_>, entry: Entry) {
        self.table(key).insert(key.hash, entry);
        self.inserted = true;
    }

    /// Takes an entry out of its place.
    pub(crate) fn take(&mut self, key: &Key<'_>, found: Found) -> Entry {
        self.table(key).remove(key.hash, found)
    }

    /// Removes an entry; a big value is freed elsewhere.
    pub(crate) fn remove(&mut self, key: &Key<'_>, found: Found) {
        let entry = self.take(key, found);
        self.retire(key, entry);
    }

    /// Puts an entry at a key in place of whatever is there.
    pub(crate) fn put(&mut self, key: &Key<'_>, entry: Entry) {
        let table = self.table(key);
        match table.find_place(key) {
            Some(found) => {
                let old = table.update(found, |old| (entry, old));
                self.retire(key, old);
            }
            None => table.insert(key.hash, entry),
        }
    }

    fn retire(&mut self, key: &Key<'_>, entry: Entry) {
        if entry.as_ref().is_costly_to_free() {
            self.changes.retire(Retired::Entry(entry));
        }
        let segments = self.table(key).take_retired();
        if !segments.is_empty() {
            self.changes.retire(Retired::Segments(segments));
        }
    }
}

impl<'s> KeyspaceMut<'s, '_> {
    #[inline(always)]
    fn tables(&mut self) -> Tables<'_, 's> {
        Tables { base: &mut self.base, changes: &mut self.changes, inserted: false }
    }

    /// Changes the entry of a key: `undo` keeps what is there, `act` alters it, `said` puts the change into words.
    #[inline(always)]
    pub(crate) fn alter<'a, R>(
        &mut self,
        key: &Key<'_>,
        undo: impl FnOnce(Option<EntryRef<'_>>) -> Undo,
        act: impl FnOnce(&mut Tables<'_, 's>) -> R,
        said: impl FnOnce() -> (Op<'a>, Event),
    ) -> R {
        self.changes.dirty += 1;
        if self.observed {
            self.foresee(key, undo);
        }
        let mut tables = self.tables();
        let result = act(&mut tables);
        let inserted = tables.inserted;
        if self.observed {
            let (op, event) = said();
            self.tell_altered(key, inserted, op, event);
        }
        result
    }

    /// Keeps what takes the coming change back, until it is told together with the change.
    #[cold]
    fn foresee(&mut self, key: &Key<'_>, undo: impl FnOnce(Option<EntryRef<'_>>) -> Undo) {
        self.keep(key);
        if self.wants == Wants::OPS {
            return;
        }
        self.tell_misses();
        let before = self.base.stored(key);
        let kind = before.map(EntryRef::data_type);
        let undo = self.wants.undo.then(|| undo(before));
        self.changes.foresee(Foreseen { undo, kind });
    }

    #[cold]
    fn tell_altered(&mut self, key: &Key<'_>, inserted: bool, op: Op<'_>, event: Event) {
        self.mark(key);
        if self.wants == Wants::OPS {
            self.tell_op(key, op, None);
            return self.signal(key);
        }
        let Foreseen { undo, kind } = self.changes.take_foreseen();
        if inserted || event.overwriting == Overwriting::ToldAfter {
            self.notify(Event::NEW, key);
        }
        self.tell_op(key, op, undo);
        if event.overwriting == Overwriting::ToldBefore {
            self.tell_overwritten(key, kind);
        }
        self.notify(event, key);
        if event.overwriting == Overwriting::ToldAfter {
            self.tell_overwritten(key, kind);
        }
        self.signal(key);
    }

    /// Tells that the value at a key has taken the place of another, of which this was the type.
    pub(super) fn tell_overwritten(&mut self, key: &Key<'_>, kind: Option<Type>) {
        let Some(before) = kind else { return };
        self.notify(Event::OVERWRITTEN, key);
        if self.base.stored(key).is_some_and(|entry| entry.data_type() != before) {
            self.notify(Event::TYPE_CHANGED, key);
        }
    }

    /// As [`KeyspaceMut::alter`] for a change that several ops say, each with what takes it back; listeners hear one event
    /// or none, and `dirty` is what it counts as. Nothing has changed if that is 0.
    pub(crate) fn alter_in_parts<R, Parts>(
        &mut self,
        key: &Key<'_>,
        act: impl FnOnce(&mut Tables<'_, 's>) -> (R, u64, Parts),
        said: impl FnOnce(&Parts) -> Vec<(Op<'_>, Undo)>,
        event: Option<Event>,
    ) -> R {
        self.tell_misses();
        let (result, dirty, parts) = self.act(key, act);
        self.changes.dirty += dirty;
        if self.observed && dirty > 0 {
            for (op, undo) in said(&parts) {
                self.tell_op(key, op, Some(undo));
            }
            if let Some(event) = event {
                self.notify(event, key);
            }
            self.signal(key);
        }
        result
    }

    /// Alters keys in a way that the caller tells of with [`KeyspaceMut::tell`].
    pub(super) fn act<R>(&mut self, key: &Key<'_>, act: impl FnOnce(&mut Tables<'_, 's>) -> R) -> R {
        self.keep(key);
        let mut tables = self.tables();
        let result = act(&mut tables);
        let inserted = tables.inserted;
        self.mark(key);
        if inserted {
            self.notify(Event::NEW, key);
        }
        result
    }

    pub(super) fn wants_undo(&self) -> bool {
        self.wants.undo
    }

    fn tell_op(&mut self, key: &Key<'_>, op: Op<'_>, undo: Option<Undo>) {
        let at = At::Key { key: key.bytes, op };
        self.tell(&Effect { db: key.db, at }, undo.map(EffectUndo::Key));
    }

    /// Tells listeners of an effect.
    pub(super) fn tell(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        if let Some(sink) = &mut self.sink {
            sink.changed(effect, undo.filter(|_| self.wants.undo));
        }
    }

    /// Changes the collection at a key. `None`: there is none, and none was to be made. A collection that is left empty is
    /// removed with its key, and a new one that stays empty is not put there.
    ///
    /// # Errors
    /// If the key holds another type.
    #[inline(always)]
    pub fn change<C: Row, R>(
        &mut self,
        key: &Key<'_>,
        absent: Absent,
        act: impl FnOnce(&mut Editor<'_, C>) -> R,
    ) -> Result<Option<R>, WrongType> {
        self.change_told(key, absent, None, act)
    }

    /// [`KeyspaceMut::change`], of which only `told` hears if there is one.
    #[inline(always)]
    fn change_told<C: Row, R>(
        &mut self,
        key: &Key<'_>,
        absent: Absent,
        mut told: Option<&mut Captured>,
        act: impl FnOnce(&mut Editor<'_, C>) -> R,
    ) -> Result<Option<R>, WrongType> {
        let Some(found) = self.place_of::<C>(key)? else {
            return Ok(match absent {
                Absent::Create => Some(self.create(key, told, act)),
                Absent::Leave => None,
            });
        };
        let observed = self.observed;
        if observed {
            self.keep(key);
            self.tell_misses();
        }
        let (table, limits) = self.base.table_and_limits(key);
        let expire_at_ms = if observed { table.entry_at(found).expire_at_ms() } else { None };
        let Some(value) = table.collection_mut::<C>(found) else { return Err(WrongType) };
        let (len_before, due_before_ms) = (value.len(), value.due_ms());
        let sink = listener(&mut told, &mut self.sink);
        let state = State::There { expire_at_ms };
        let mut editor = Editor::new(value, key, limits, observed, sink, state);
        let result = act(&mut editor);
        let Editor { value, changed, expired, touched, .. } = editor;
        let (len, due_ms) = (value.len(), value.due_ms());
        let is_over = !C::STAYS_EMPTY && len == 0;
        if !are_alike(len_before, len) {
            self.base.table_mut(key).resized(C::TYPE, len_before, len);
        }
        if due_ms != due_before_ms {
            self.base.table_mut(key).rescheduled(found, due_before_ms.is_some());
        }
        self.changes.dirty += changed;
        self.changes.expired_parts += expired;
        if observed && (changed > 0 || touched) {
            self.signal(key);
        }
        if self.base.locked.shards().usage().is(Usage::Modified) && changed > 0 && !is_over {
            self.note_change(key, found);
        }
        if is_over {
            self.tables().remove(key, found);
            if let Some(sink) = listener(&mut told, &mut self.sink) {
                sink.event(key.db, Event::generic("del"), key.bytes);
            }
        }
        Ok(Some(result))
    }

    fn create<C: Row, R>(
        &mut self,
        key: &Key<'_>,
        mut told: Option<&mut Captured>,
        act: impl FnOnce(&mut Editor<'_, C>) -> R,
    ) -> R {
        let mut value = C::default();
        let (observed, clock) = (self.observed, self.stamp_at(key, None));
        if observed {
            self.tell_misses();
        }
        let (table, limits) = self.base.table_and_limits(key);
        let sink = listener(&mut told, &mut self.sink);
        let (state, value_ref) = (State::New, &mut value);
        let mut editor = Editor::new(value_ref, key, limits, observed, sink, state);
        let result = act(&mut editor);
        let changed = editor.changed;
        if !value.is_empty() || C::STAYS_EMPTY && changed > 0 {
            table.insert(key.hash, Entry::holding(key.bytes, value, None, clock));
            self.mark(key);
        }
        self.changes.dirty += changed;
        if observed && changed > 0 {
            self.signal(key);
        }
        result
    }

    #[cold]
    fn note_change(&mut self, key: &Key<'_>, found: Found) {
        let clock = self.stamp_at(key, Some(found));
        self.entry_at(key, found).set_clock(clock);
    }

    /// The place of a live collection, which is used now.
    #[inline(always)]
    fn place_of<C: Row>(&mut self, key: &Key<'_>) -> Result<Option<Found>, WrongType> {
        let Some(found) = self.live_place(key) else { return Ok(None) };
        let entry = self.entry_at(key, found);
        if !entry.holds::<C>() {
            return Err(WrongType);
        }
        self.base.note_read(key, self.base.table(key).entry_at(found));
        Ok(Some(found))
    }

    /// Takes something from one collection and gives it to another of the same type, as one change; `None` when there was
    /// nothing to take.
    ///
    /// # Errors
    /// If either key holds another type; one that is nowhere to be taken from is not asked for the type of the other.
    pub(crate) fn transfer<C: Row>(
        &mut self,
        (from, to): (&Key<'_>, &Key<'_>),
        take: impl FnOnce(&mut Editor<'_, C>) -> Option<Vec<u8>>,
        give: impl FnOnce(&mut Editor<'_, C>, &[u8]),
        said: impl for<'x> FnOnce(&'x [u8]) -> (C::Op<'x>, C::Op<'x>),
    ) -> Result<Option<Vec<u8>>, WrongType> {
        debug_assert!(
            from.db == to.db && from.bytes != to.bytes,
            "one collection changes by an op of its own"
        );
        if self.place_of::<C>(from)?.is_none() {
            return Ok(None);
        }
        self.place_of::<C>(to)?;
        let wants = self.wants_undo();
        let (mut source, mut target) = (Captured::new(wants), Captured::new(wants));
        let taken = self.change_told::<C, _>(from, Absent::Leave, Some(&mut source), take)?;
        let Some(Some(taken)) = taken else { return Ok(None) };
        self.change_told::<C, _>(to, Absent::Create, Some(&mut target), |editor| give(editor, &taken))?;
        // Together they count as one.
        self.changes.dirty -= 1;
        target.events.iter().for_each(|event| self.notify(*event, to));
        let (op_taken, op_given) = said(&taken);
        let (taken_op, given) = (C::op(op_taken), C::op(op_given));
        let at = At::Transfer { from: from.bytes, taken: taken_op, to: to.bytes, given };
        let undo = source.undo.zip(target.undo);
        let undo = undo.map(|(from, to)| EffectUndo::Transfer { from, to });
        self.tell(&Effect { db: from.db, at }, undo);
        source.events.iter().for_each(|event| self.notify(*event, from));
        Ok(Some(taken))
    }

    /// Does an op on the collection at a key.
    pub(crate) fn apply_to<C: Row>(&mut self, key: &Key<'_>, op: &C::Op<'_>) -> Result<(), Misfit> {
        let applied = self.change::<C, _>(key, Absent::Create, |editor| C::apply(editor, op));
        applied.map_err(|WrongType| Misfit)?.ok_or(Misfit)?
    }

    /// Removes parts of the collection at a key whose time is over, at most `count`.
    pub(crate) fn expire_parts_of<C: Row>(&mut self, key: &Key<'_>, count: usize) {
        let now_ms = self.base.now_ms();
        let expired =
            self.change::<C, _>(key, Absent::Leave, |editor| C::expire_parts(editor, now_ms, count));
        debug_assert!(expired.is_ok(), "the caller has looked at the type");
        // Whoever searched for what is due took all of it for removed.
        if let Some(found) = self.live_place(key) {
            let table = self.base.table_mut(key);
            let had_deadlines = table.entry_at(found).part_due_ms().is_some();
            table.rescheduled(found, had_deadlines);
        }
    }

    /// Takes an op back on the collection at a key. Listeners are not told: whoever takes a change back has kept what was
    /// told of it.
    pub(crate) fn take_back_at<C: Row>(&mut self, key: &Key<'_>, undo: &C::Undo) {
        let found = self.live_place(key);
        let clock = self.stamp_at(key, found);
        self.keep(key);
        let (table, limits) = self.base.table_and_limits(key);
        let limits = limits.get();
        match found {
            Some(found) => {
                let value = table.collection_mut::<C>(found);
                debug_assert!(value.is_some(), "the undo is for another state");
                let Some(value) = value else { return };
                let (len_before, due_before_ms) = (value.len(), value.due_ms());
                value.take_back(undo, &limits);
                let (len, due_ms) = (value.len(), value.due_ms());
                if !are_alike(len_before, len) {
                    table.resized(C::TYPE, len_before, len);
                }
                if due_ms != due_before_ms {
                    table.rescheduled(found, due_before_ms.is_some());
                }
                if len == 0 && !C::STAYS_EMPTY {
                    self.tables().remove(key, found);
                }
            }
            None => {
                let mut value = C::default();
                value.take_back(undo, &limits);
                table.insert(key.hash, Entry::holding(key.bytes, value, None, clock));
            }
        }
        self.mark(key);
        self.signal(key);
    }
}

/// Who hears of a change.
#[inline(always)]
fn listener<'v>(
    told: &'v mut Option<&mut Captured>,
    sink: &'v mut Option<&mut dyn Sink>,
) -> Option<&'v mut (dyn Sink + 'v)> {
    match told {
        Some(captured) => Some(&mut **captured),
        None => match sink {
            Some(sink) => Some(&mut **sink),
            None => None,
        },
    }
}

/// What the two halves of a transfer said, to be told as one.
#[derive(Debug)]
struct Captured {
    wants_undo: bool,
    undo: Option<Undo>,
    events: Vec<Event>,
}

impl Captured {
    fn new(wants_undo: bool) -> Self {
        Captured { wants_undo, undo: None, events: Vec::new() }
    }
}

impl Sink for Captured {
    fn wants(&self) -> Wants {
        Wants { undo: self.wants_undo, events: true }
    }

    fn changed(&mut self, _: &Effect<'_>, undo: Option<EffectUndo>) {
        if let Some(EffectUndo::Key(undo)) = undo {
            self.undo = Some(undo);
        }
    }

    fn event(&mut self, _: u32, event: Event, _: &[u8]) {
        self.events.push(event);
    }
}

/// Whether the collection that is edited is at its key.
#[derive(Clone, Copy, Debug)]
enum State {
    /// It is new.
    New,
    /// It was there, and expires then.
    There { expire_at_ms: Option<UnixMs> },
}

/// A collection while it is changed. It can be read as what it is, and altered by [`Editor::alter`] only.
pub struct Editor<'v, C: Row> {
    value: &'v mut C,
    key: &'v Key<'v>,
    limits: &'v SharedLimits,
    observed: bool,
    sink: Option<&'v mut (dyn Sink + 'v)>,
    state: State,
    /// Changes so far, as `dirty` counts them.
    changed: u64,
    /// Parts that were removed because their time was over.
    expired: u64,
    /// An event said that nothing has changed, which those who watch the key take for a change.
    touched: bool,
}

impl<C: Row> std::fmt::Debug for Editor<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Editor")
            .field("value", &self.value)
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

impl<C: Row> Deref for Editor<'_, C> {
    type Target = C;

    #[inline(always)]
    fn deref(&self) -> &C {
        self.value
    }
}

impl<'v, C: Row> Editor<'v, C> {
    #[inline(always)]
    fn new(
        value: &'v mut C,
        key: &'v Key<'v>,
        limits: &'v SharedLimits,
        observed: bool,
        sink: Option<&'v mut (dyn Sink + 'v)>,
        state: State,
    ) -> Self {
        Editor { value, key, limits, observed, sink, state, changed: 0, expired: 0, touched: false }
    }

    /// The limits of encodings.
    #[inline(always)]
    pub fn limits(&self) -> EncodingLimits {
        self.limits.get()
    }

    /// True when there was no such key.
    #[inline]
    pub fn is_new(&self) -> bool {
        matches!(self.state, State::New)
    }

    /// The one way to alter the collection: `undo` keeps what takes it back, `act` alters and says how many changes that
    /// was, `said` puts them into words. Nothing has changed if they were none.
    #[inline(always)]
    pub(crate) fn alter<'a, R>(
        &mut self,
        undo: impl FnOnce(&C) -> C::Undo,
        act: impl FnOnce(&mut C) -> (R, u64),
        said: impl FnOnce(&R) -> (C::Op<'a>, Event),
    ) -> R {
        if self.observed {
            return self.alter_observed(undo, act, |_, result, tell| {
                let (op, event) = said(result);
                tell(C::op(op), event);
            });
        }
        let (result, changed) = act(self.value);
        self.changed += changed;
        result
    }

    /// As [`Editor::alter`] for what has no op of its own that every listener could put into its form: it is told as a new
    /// value.
    pub(crate) fn alter_as_whole(
        &mut self,
        undo: impl FnOnce(&C) -> C::Undo,
        act: impl FnOnce(&mut C),
        event: Event,
    ) {
        let expire_at_ms = match self.state {
            State::New => None,
            State::There { expire_at_ms } => expire_at_ms,
        };
        let act = |value: &mut C| {
            ((), {
                act(value);
                1
            })
        };
        self.alter_observed(undo, act, |value, (), tell| {
            let value = Some(Value::Collection(value));
            tell(Op::Key(KeyOp::Replace { value, expire_at_ms }), event);
        });
    }

    #[cold]
    fn alter_observed<R>(
        &mut self,
        undo: impl FnOnce(&C) -> C::Undo,
        act: impl FnOnce(&mut C) -> (R, u64),
        said: impl FnOnce(&C, &R, &mut dyn FnMut(Op<'_>, Event)),
    ) -> R {
        let undo = match (&self.sink, self.state) {
            (Some(sink), State::New) if sink.wants().undo => Some(Undo::ABSENT),
            (Some(sink), State::There { expire_at_ms }) if sink.wants().undo => {
                Some(Undo::of_part(C::part(undo(self.value)), expire_at_ms))
            }
            _ => None,
        };
        let (result, changed) = act(self.value);
        if changed == 0 {
            return result;
        }
        let is_first = self.changed == 0;
        self.changed += changed;
        if let Some(sink) = &mut self.sink {
            let Key { db, bytes: key, .. } = *self.key;
            if is_first && matches!(self.state, State::New) {
                sink.event(db, Event::NEW, key);
            }
            let mut undo = undo.map(EffectUndo::Key);
            said(self.value, &result, &mut |op, event| {
                sink.changed(&Effect { db, at: At::Key { key, op } }, undo.take());
                if !event.name.is_empty() {
                    sink.event(db, event, key);
                }
            });
        }
        result
    }

    /// Alters how the collection is stored, and nothing of its content.
    pub(crate) fn arrange<R>(&mut self, act: impl FnOnce(&mut C) -> R) -> R {
        act(self.value)
    }

    /// So many of the changes so far were parts whose time was over: as in Redis none that a save would be due for.
    pub(crate) fn count_expired(&mut self, count: u64) {
        self.changed -= count;
        self.expired += count;
        self.touched = true;
    }

    /// Tells of a command that found nothing to alter: an event, and to those who watch the key a change.
    pub(crate) fn touch(&mut self, event: Event) {
        if self.is_new() {
            return;
        }
        self.touched = true;
        self.tell(event);
    }

    /// Tells of changes that were made silently.
    pub fn tell(&mut self, event: Event) {
        if let Some(sink) = &mut self.sink {
            sink.event(self.key.db, event, self.key.bytes);
        }
    }
}
