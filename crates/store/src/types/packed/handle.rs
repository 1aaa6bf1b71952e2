//! The handle of a collection: a word that is a packed value, or what took its place.
//!
//! The lowest bit of the word, which is 0 in the address of either, tells which; that is why this is unsafe code.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::Packed;

/// A packed value while it is small, a `B` when it has become big.
pub(in super::super) struct Handle<B> {
    /// The word of a [`Packed`], or the address of a `B` and one more.
    word: NonNull<u8>,
    owns: PhantomData<(Packed, Box<B>)>,
}

/// Which of the two it is.
#[derive(Debug)]
pub(in super::super) enum Form<S, B> {
    /// All in one allocation.
    Small(S),
    /// More than that.
    Big(B),
}

const BIG: usize = 1;

// SAFETY: a handle owns what it leads to.
unsafe impl<B: Send> Send for Handle<B> {}

impl<B> Handle<B> {
    const ALIGNED: () = assert!(align_of::<B>() > BIG && size_of::<Packed>() == size_of::<NonNull<u8>>());

    /// A small value.
    pub(in super::super) fn small(packed: Packed) -> Self {
        let () = Self::ALIGNED;
        // SAFETY: `Packed` is a non-null pointer, transparently, and is not dropped here.
        let word = unsafe { std::mem::transmute::<Packed, NonNull<u8>>(packed) };
        debug_assert_eq!(word.addr().get() & BIG, 0);
        Handle { word, owns: PhantomData }
    }

    /// A big value.
    pub(in super::super) fn big(value: B) -> Self {
        let () = Self::ALIGNED;
        let address = Box::into_raw(Box::new(value)).cast::<u8>();
        // SAFETY: a box is aligned, so one more is within its value, or just behind if that is of one byte, and not null.
        let word = unsafe { NonNull::new_unchecked(address.add(BIG)) };
        Handle { word, owns: PhantomData }
    }

    #[inline(always)]
    fn is_big(&self) -> bool {
        self.word.addr().get() & BIG != 0
    }

    /// The address of the big value.
    ///
    /// # Safety
    /// It is one.
    #[inline(always)]
    unsafe fn address(&self) -> *mut B {
        // SAFETY: `big` added this much.
        unsafe { self.word.as_ptr().sub(BIG).cast() }
    }

    /// The value.
    #[inline(always)]
    pub(in super::super) fn form(&self) -> Form<&Packed, &B> {
        // SAFETY: the bit tells what the word is: a `Packed` itself, or where a `B` is. Both live as long as the handle.
        unsafe {
            if self.is_big() {
                Form::Big(&*self.address())
            } else {
                Form::Small(&*(&raw const self.word).cast::<Packed>())
            }
        }
    }

    /// The value, to change.
    #[inline(always)]
    pub(in super::super) fn form_mut(&mut self) -> Form<&mut Packed, &mut B> {
        // SAFETY: as above, and `&mut self` makes this the only borrow. What a `Packed` is changed to is one.
        unsafe {
            if self.is_big() {
                Form::Big(&mut *self.address())
            } else {
                Form::Small(&mut *(&raw mut self.word).cast::<Packed>())
            }
        }
    }
}

impl<B> Drop for Handle<B> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: as in `form`; `drop` runs once.
        unsafe {
            if self.is_big() {
                drop(Box::from_raw(self.address()));
            } else {
                (&raw mut self.word).cast::<Packed>().drop_in_place();
            }
        }
    }
}

impl<B> Default for Handle<B> {
    fn default() -> Self {
        Handle::small(Packed::new())
    }
}

impl<B: Clone> Clone for Handle<B> {
    fn clone(&self) -> Self {
        match self.form() {
            Form::Small(packed) => Handle::small(packed.clone()),
            Form::Big(value) => Handle::big(value.clone()),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Handle<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.form().fmt(f)
    }
}
