//! Whatever stands in a configuration file, loading answers; what it loaded reads back as itself.
//!
//! Files with `include` are left out: what they name lies outside the input.
#![no_main]
use libfuzzer_sys::fuzz_target;
use swytch::config::{Loader, SetContext, SetError, quote, split_words};

fuzz_target!(|data: &[u8]| {
    if data.to_ascii_lowercase().windows(7).any(|window| window == b"include") {
        return;
    }
    if let Some(words) = split_words(data) {
        for word in words {
            assert_eq!(split_words(&quote(&word)), Some(vec![word]));
        }
    }
    let mut loader = Loader::new();
    if loader.standard_input(&mut &data[..]).is_err() {
        return;
    }
    let Ok(loaded) = loader.finish() else { return };
    let context = SetContext { local_client: true, loading: false };
    for (name, value) in loaded.config.get_matching(&[b"*"]) {
        match loaded.config.set_many(&[(&name, &value)], context, &mut |_, _| Ok(())) {
            Ok(changed) => assert!(changed.is_empty(), "{} changed when set to its own value", show(&name)),
            // What may not be set at all, or not from here.
            Err(SetError::Failed { reason, .. })
                if reason.contains("immutable") || reason.contains("protected") => {}
            Err(error) => {
                panic!("{} refuses its own value {:?}: {}", show(&name), show(&value), show(&error.reply()))
            }
        }
    }
});

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
