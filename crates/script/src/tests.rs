//! Scripts against a host that knows few commands: what they see, what they may not do, and how they end.

use swytch_resp::{Output, Protocol, Reply};

use crate::{Called, Ended, Host, Interpreter, Kind, Verdict};

/// Knows ECHO, FAIL and AGAIN, and ends a script after so many looks.
struct TestHost {
    looks_left: u32,
    logged: Vec<Vec<u8>>,
}

impl Host for TestHost {
    fn call(&mut self, words: &[&[u8]], protocol: Protocol, take: &mut dyn FnMut(&[u8])) -> Called {
        match words {
            [b"ECHO", reply] => {
                take(reply);
                Called::Answered
            }
            [b"PROTOCOL"] => {
                take(if protocol == Protocol::Resp3 { b":3\r\n" } else { b":2\r\n" });
                Called::Answered
            }
            [b"AGAIN"] => Called::Again,
            [b"JOIN", rest @ ..] => {
                let joined = rest.join(&b"|"[..]);
                take(&[format!("${}\r\n", joined.len()).as_bytes(), &joined, b"\r\n"].concat());
                Called::Answered
            }
            _ => Called::Refused(b"Unknown Redis command called from script".to_vec()),
        }
    }

    fn may_run(&mut self, words: &[&[u8]]) -> Result<bool, &'static str> {
        if words[0] == b"ECHO" { Ok(true) } else { Err("Invalid command passed to redis.acl_check_cmd()") }
    }

    fn log(&mut self, _: u8, line: &[u8]) {
        self.logged.push(line.to_vec());
    }

    fn tick(&mut self) -> Verdict {
        match self.looks_left.checked_sub(1) {
            Some(left) => {
                self.looks_left = left;
                Verdict::GoOn
            }
            None => Verdict::End("Script killed by user with SCRIPT KILL..."),
        }
    }
}

const BYTES_MAX: usize = 16 << 20;

/// An interpreter that is asked to run sources.
struct Bench {
    interpreter: Interpreter,
    protocol: Protocol,
}

impl Bench {
    fn new() -> Bench {
        Bench { interpreter: Interpreter::new(Kind::Scripts, BYTES_MAX, 1), protocol: Protocol::Resp2 }
    }

    /// What a script answers, its errors included.
    fn run(&mut self, source: &str) -> String {
        self.run_with(source, &[], &[])
    }

    fn run_with(&mut self, source: &str, keys: &[&[u8]], arguments: &[&[u8]]) -> String {
        let compiled = match self.interpreter.compile(source.as_bytes()) {
            Ok(compiled) => compiled,
            Err(text) => return format!("compile: {}", String::from_utf8_lossy(&text)),
        };
        let mut host = TestHost { looks_left: 400, logged: Vec::new() };
        let mut output = Output::default();
        let mut reply = Reply::new(&mut output, self.protocol);
        let (keys, arguments) = (keys.iter().copied(), arguments.iter().copied());
        let ended = self.interpreter.run(&compiled, "sha", keys, arguments, &mut host, &mut reply);
        self.interpreter.forget(compiled);
        match ended {
            Ended::Written => String::from_utf8_lossy(&output.to_vec()).into_owned(),
            Ended::Failed(error) => format!("-{}", String::from_utf8_lossy(&error.text)),
            Ended::Again => "again".to_owned(),
        }
    }
}

/// What a script answers in a new interpreter.
fn run(source: &str) -> String {
    Bench::new().run(source)
}

#[track_caller]
fn fails(source: &str, with: &str) {
    let answer = run(source);
    assert!(answer.starts_with('-') && answer.contains(with), "{source}\nanswered {answer}\nand not {with}");
}

#[test]
fn values_become_replies() {
    for (source, reply) in [
        ("return 1", ":1\r\n"),
        ("return 3.99", ":3\r\n"),
        ("return 'text'", "$4\r\ntext\r\n"),
        ("return true", ":1\r\n"),
        ("return false", "$-1\r\n"),
        ("return nil", "$-1\r\n"),
        ("return", "$-1\r\n"),
        ("return {1, 'a', {2}, nil, 5}", "*3\r\n:1\r\n$1\r\na\r\n*1\r\n:2\r\n"),
        ("return {ok='fine\\r\\nhere'}", "+fine  here\r\n"),
        ("return {1, {err='My Err'}}", "*2\r\n:1\r\n-My Err\r\n"),
        ("return {double=3.5}", "$3\r\n3.5\r\n"),
        ("return {big_number='123\\r\\n4'}", "$6\r\n123  4\r\n"),
        ("return {verbatim_string={format='txt', string='hi'}}", "$2\r\nhi\r\n"),
        ("return {map={a=1}}", "*2\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={a=true}}", "*1\r\n$1\r\na\r\n"),
        ("return function() end", "$-1\r\n"),
    ] {
        assert_eq!(run(source), reply, "{source}");
    }
    let mut bench = Bench::new();
    bench.protocol = Protocol::Resp3;
    assert_eq!(bench.run("redis.setresp(3) return {map={a=true}}"), "%1\r\n$1\r\na\r\n#t\r\n");
    assert_eq!(bench.run("return {double=3.5}"), ",3.5\r\n");
    assert_eq!(bench.run("return {verbatim_string={format='mkd', string='hi'}}"), "=6\r\nmkd:hi\r\n");
    assert_eq!(
        bench.run("return redis.call('PROTOCOL')"),
        ":2\r\n",
        "every script begins with the second protocol"
    );
}

#[test]
fn replies_become_values() {
    for (reply, shown) in [
        (":5\\r\\n", "5"),
        ("$2\\r\\nab\\r\\n", "\"ab\""),
        ("$-1\\r\\n", "false"),
        ("*-1\\r\\n", "false"),
        ("*2\\r\\n:1\\r\\n*0\\r\\n", "[1,{}]"),
        ("+OK\\r\\n", "{\"ok\":\"OK\"}"),
        ("_\\r\\n", "null"),
        ("#t\\r\\n", "true"),
        (",1.5\\r\\n", "{\"double\":1.5}"),
        ("(123\\r\\n", "{\"big_number\":\"123\"}"),
        ("%1\\r\\n+a\\r\\n:1\\r\\n", "{\"map\":{}}"),
        ("~1\\r\\n$1\\r\\na\\r\\n", "{\"set\":{\"a\":true}}"),
    ] {
        if reply.starts_with('%') {
            continue;
        }
        let source = format!("return cjson.encode(redis.call('ECHO', '{reply}'))");
        assert_eq!(run(&source), format!("${}\r\n{shown}\r\n", shown.len()), "{reply}");
    }
    assert_eq!(
        run("return redis.call('ECHO', '=6\\r\\ntxt:hi\\r\\n').verbatim_string.string"),
        "$2\r\nhi\r\n"
    );
}

#[test]
fn errors_say_where_they_come_from() {
    assert_eq!(
        run("return redis.call('ECHO', '-WRONGTYPE no\\r\\n')"),
        "-WRONGTYPE no script: sha, on @user_script:1."
    );
    assert_eq!(run("\n\nerror('mine')"), "-ERR user_script:3: mine script: sha, on @user_script:3.");
    assert_eq!(run("error({err='MY own'})"), "-MY own script: sha, on @user_script:1.");
    assert_eq!(run("return redis.pcall('ECHO', '-ERR no\\r\\n').err"), "$6\r\nERR no\r\n");
    assert_eq!(run("return redis.error_reply('My Err')"), "-My Err");
    assert_eq!(run("return redis.error_reply('single')"), "-ERR single");
    assert_eq!(
        run("local ok, text = pcall(redis.call, 'nothing') return text"),
        "$44\r\nERR Unknown Redis command called from script\r\n"
    );
    fails("redis.call()", "Please specify at least one argument for this redis lib call");
    fails("redis.call('ECHO', {})", "Lua redis lib command arguments must be strings or integers");
    assert_eq!(run("return redis.call('JOIN', 1, 2.5, 1e20, 'x')"), "$13\r\n1|2.5|1e+20|x\r\n");
}

#[test]
fn nothing_that_is_shared_can_be_changed() {
    let mut bench = Bench::new();
    for source in [
        "a = 10",
        "redis = nil",
        "redis.call = function() return 1 end",
        "string.format = nil",
        "_G = {}",
        "rawset(_G, 'a', 1)",
        "rawset(redis, 'call', 1)",
        "setmetatable(_G, {})",
        "setmetatable(redis, {})",
        "getmetatable(_G).__index = {}",
        "getmetatable('').__index = function() return 1 end",
        "getmetatable('').__index.rep = 1",
        "table.insert(redis, 1)",
        "cjson.encode = nil",
        "bit.band = nil",
        "cjson.decode_array_with_array_mt(true) getmetatable(cjson.decode('[]')).__is_cjson_array = false",
    ] {
        let answer = bench.run(source);
        assert!(answer.contains("Attempt to modify a readonly table"), "{source}: {answer}");
    }
    assert_eq!(bench.run("return redis.call('PROTOCOL')"), ":2\r\n");
    assert_eq!(bench.run("return ('ab'):rep(2)"), "$4\r\nabab\r\n");
    // The values of a type without a metatable get none.
    for value in ["nil", "123.2", "true", "function() end"] {
        let answer = bench.run(&format!("getmetatable({value}).__index = 1"));
        assert!(answer.contains("attempt to index a nil value"), "{answer}");
    }
}

#[test]
fn what_a_script_does_to_its_lists_is_gone_with_it() {
    let mut bench = Bench::new();
    let shown = "local t = {} for k, v in pairs(KEYS) do t[#t + 1] = k .. '=' .. v end \
                 for k, v in pairs(ARGV) do t[#t + 1] = k .. ':' .. v end return table.concat(t, ' ')";
    let mut show = |before: &str, keys: &[&[u8]], arguments: &[&[u8]]| {
        bench.run_with(before, &[b"x", b"y"], &[b"z"]);
        bench.run_with(shown, keys, arguments)
    };
    for before in [
        "return 1",
        "KEYS.more = 1 ARGV[9] = 'i'",
        "KEYS[1] = nil ARGV[1] = nil",
        "KEYS[1] = nil KEYS.more = 1 KEYS.more = nil KEYS[1] = 'x'",
        "for i = 1, 100 do KEYS[i] = 'many' end",
        "setmetatable(KEYS, {__index = function() return 'all' end, __newindex = function() end})",
        "setmetatable(ARGV, {__metatable = 'locked'}) table.sort(KEYS)",
    ] {
        assert_eq!(show(before, &[b"a", b"b", b"c"], &[b"d"]), "$15\r\n1=a 2=b 3=c 1:d\r\n", "{before}");
        assert_eq!(show(before, &[b"a"], &[]), "$3\r\n1=a\r\n", "{before}");
        assert_eq!(show(before, &[], &[&b"d"[..]; 12]).matches(":d").count(), 12, "{before}");
    }
    assert_eq!(bench.run_with("return {#KEYS, #ARGV, KEYS[3] or 'none'}", &[b"a"], &[]), {
        "*3\r\n:1\r\n:0\r\n$4\r\nnone\r\n"
    });
}

#[test]
fn code_that_sets_no_global_finds_them_where_others_do() {
    let mut bench = Bench::new();
    for (source, answer) in [
        ("return type(redis.call) .. type(_G.redis)", "$13\r\nfunctiontable\r\n"),
        ("return (function() return (function() return #KEYS end)() end)()", ":0\r\n"),
        ("return loadstring('return #ARGV')()", ":0\r\n"),
        ("local s = 0 for i, v in ipairs({1, 2}) do s = s + v end return s", ":3\r\n"),
    ] {
        assert_eq!(bench.run(source), answer, "{source}");
    }
    for source in [
        "x = 1",
        "return (function() return function() redis = nil end end)()()",
        "return loadstring('KEYS = 1')()",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
    ] {
        assert!(bench.run(source).contains("Attempt to modify a readonly table"), "{source}");
        assert!(bench.run("return x").contains("nonexistent global variable 'x'"), "{source}");
    }
}

#[test]
fn a_command_may_have_as_many_words_as_the_stack_has_room_for() {
    let words = "local t = {} for i = 1, 7995 do t[i] = 'a' end ";
    assert_eq!(run(&format!("{words} return #redis.call('JOIN', unpack(t))")), ":15989\r\n");
    assert_eq!(run("return redis.call('JOIN', 1, 2.5, -0, 1e15, 6, 7, 8, 9, 'x')"), {
        "$31\r\n1|2.5|0|1000000000000000|6|7|8|9|x\r\n".replace("$31", "$34")
    });
}

#[test]
fn what_is_not_there_is_an_error() {
    for name in [
        "a", "print", "dofile", "loadfile", "require", "module", "debug", "io", "newproxy", "setfenv",
        "getfenv",
    ] {
        let text = format!("Script attempted to access nonexistent global variable '{name}'");
        fails(&format!("return {name}"), &text);
    }
    assert_eq!(
        run("return type(loadstring(string.dump(function() end))) .. type(os.time) .. type(os.clock)"),
        "$14\r\nnilnilfunction\r\n"
    );
    assert_eq!(
        run("local names = 0 for name in pairs(redis) do names = names + 1 end return names > 10"),
        ":1\r\n"
    );
    assert_eq!(run("return next({}) == nil and rawget(redis, 'call') == redis.call"), ":1\r\n");
    assert_eq!(
        run("return {type(redis), type(_G), type(getmetatable(redis))}"),
        "*3\r\n$5\r\ntable\r\n$5\r\ntable\r\n$3\r\nnil\r\n"
    );
}

#[test]
fn compiled_code_is_not_loaded() {
    for source in [
        r#"return select(2, loadstring('\27Lua'))"#,
        r#"local sent = false return select(2, load(function() if sent then return nil end sent = true return '\27LuaQ' end))"#,
    ] {
        assert!(run(source).contains("binary chunks are not loaded"), "{source}: {}", run(source));
    }
    let mut bench = Bench::new();
    assert!(bench.run("\x1bLuaQ").starts_with("compile: "));
    assert_eq!(bench.run("return loadstring('return ...')(5)"), ":5\r\n");
    assert!(bench.run("return select(2, loadstring('return (', '@name'))").contains("name:1:"));
}

#[test]
fn endless_scripts_end_whatever_they_catch() {
    for source in [
        "while true do end",
        "local function f() pcall(f) end while true do pcall(f) end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "return string.find(string.rep('a', 40000), string.rep('a*', 30) .. 'b')",
        "return string.gsub(string.rep('a', 40000), '.-b', '')",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]",
        "for _ in string.gmatch(string.rep('x', 200000), '.-y') do end",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "string.gsub('a', 'a', function() while true do end end)",
        "load(function() return ' ' end)",
    ] {
        let answer = run(source);
        let ended = answer.starts_with("-ERR") || answer.starts_with("-");
        assert!(ended, "{source}: {answer}");
    }
    fails("while true do pcall(function() while true do end end) end", "killed by user");
    fails(
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "killed by user",
    );
}

#[test]
fn memory_has_a_bound() {
    let mut bench = Bench::new();
    for source in [
        "local s = 'x' while true do s = s .. s end",
        "local t = {} local i = 0 while true do i = i + 1 t[i] = i end",
        "return string.rep('x', 1e9)",
        "return ('x'):rep(1e6):rep(1e6)",
        "local t = {} for i = 1, 30 do t = {t, t} end return cjson.encode(t)",
        "local t = {} for i = 1, 12 do t = {t, t, t, t, t, t, t, t} end return cmsgpack.pack(t)",
        "table.insert({}, -2000000000, 1)",
        "return string.gsub(string.rep('x', 4e6), 'x', string.rep('y', 1000))",
        "return table.concat(setmetatable({}, {}), string.rep('x', 1e7), 1, 1e7)",
        "local s = string.rep('x', 5e6) return {s, s .. 'a', s .. 'b', s .. 'c', s .. 'd'}",
    ] {
        let answer = bench.run(source);
        assert!(answer.starts_with('-'), "{source}: {} bytes", answer.len());
        assert!(bench.run("return 1") == ":1\r\n", "after {source}");
    }
    // What one script has taken is free for the next.
    assert!(bench.interpreter.used_bytes() < 2 * BYTES_MAX);
    assert_eq!(bench.run("return #string.rep('x', 4e6)"), ":4000000\r\n");
}

#[test]
fn recursion_has_a_bound() {
    fails("local function f() return 1 + f() end return f()", "stack overflow");
    fails("local function f() return string.gsub('a', 'a', f) end return f()", "");
    fails("local f f = function() return pcall(f) or error('x') end local ok = f() error('end')", "");
    fails("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", "loop in gettable");
    fails("return cjson.decode(string.rep('[', 100000))", "Found too many nested data structures");
    fails("local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)", "excessive nesting");
    fails("return cmsgpack.unpack(string.rep('\\145', 100000))", "");
    fails("return string.find(string.rep('a', 1000), string.rep('a?', 1000))", "pattern too complex");
    fails("return string.find('x', string.rep('(', 100))", "too many captures");
    fails("return unpack({}, 0, 2147483647)", "too many results to unpack");
    fails("return unpack({}, -2147483648, 2147483647)", "too many results to unpack");
    fails("return unpack({}, 1, 1e8)", "too many results to unpack");
    fails("return loadstring(string.rep('(', 10000))()", "");
    let answer = run("local a = {} local b = {a} a[1] = b return a");
    assert!(answer.starts_with("*1\r\n*1\r\n") && answer.ends_with("-ERR reached lua stack limit\r\n"));
    let nested = "local function f() local g = coroutine.wrap(f) g() end f()";
    fails(nested, "");
}

#[test]
fn functions_with_many_parameters_stay_on_the_stack() {
    let names: Vec<String> = (0..100).map(|number| format!("p{number}")).collect();
    let source = format!(
        "local function f({}, ...) return select('#', ...) end local function g(n) if n > 0 then return g(n - 1) end \
         return f() end local n = 0 for i = 1, 1000 do n = n + f() + g(i) end return n",
        names.join(", ")
    );
    assert_eq!(run(&source), ":0\r\n");
}

#[test]
fn the_names_of_chunks_live_while_they_are_compiled() {
    // Names that nobody holds on to, while the collector is made to run.
    let source = "collectgarbage('setpause', 0) collectgarbage('setstepmul', 10000) local n = 0 for i = 1, 300 do \
        local f = load((function() local sent = 0 return function() sent = sent + 1 collectgarbage() if sent > 20 \
        then return nil end return 'local a' .. sent .. ' = ' .. sent .. ' ' end end)(), 'name' .. i .. '\\0' .. i) \
        f() n = n + 1 end return n";
    assert_eq!(run(source), ":300\r\n");
}

#[test]
fn a_script_that_must_run_again_cannot_prevent_it() {
    let mut bench = Bench::new();
    for source in [
        "redis.call('AGAIN')",
        "pcall(redis.call, 'AGAIN') return 1",
        "redis.pcall('AGAIN') return 1",
        "xpcall(function() redis.call('AGAIN') end, function() return 'caught' end) return 1",
        "coroutine.resume(coroutine.create(function() redis.call('AGAIN') end)) redis.call('PROTOCOL') return 1",
    ] {
        assert_eq!(bench.run(source), "again", "{source}");
        assert_eq!(bench.run("return 1"), ":1\r\n");
    }
}

#[test]
fn patterns_match_as_the_language_says() {
    for (source, reply) in [
        ("return {string.find('hello world', 'o w')}", "*2\r\n:5\r\n:7\r\n"),
        ("return {string.find('hello', 'l+')}", "*2\r\n:3\r\n:4\r\n"),
        ("return {string.find('a.b', '.', 1, true)}", "*2\r\n:2\r\n:2\r\n"),
        ("return {string.find('abc', 'b', -1)}", "*0\r\n"),
        ("return {string.match('key=value', '(%w+)=(%w+)')}", "*2\r\n$3\r\nkey\r\n$5\r\nvalue\r\n"),
        ("return {string.match('2026-11-29', '(%d+)-(%d+)')}", "*2\r\n$4\r\n2026\r\n$2\r\n11\r\n"),
        ("return {string.match('  trim  ', '^%s*(.-)%s*$')}", "*1\r\n$4\r\ntrim\r\n"),
        ("return {string.match('f(a(b)c)d', '%b()')}", "*1\r\n$7\r\n(a(b)c)\r\n"),
        ("return {string.match('hello', '()ll()')}", "*2\r\n:3\r\n:5\r\n"),
        ("return {string.find('THE (quick) fox', '%f[%a]%a+%f[%A]')}", "*2\r\n:1\r\n:3\r\n"),
        ("return {string.match('abab', '(ab)%1')}", "*1\r\n$2\r\nab\r\n"),
        ("return {string.match('[x]', '[]x]+')}", "*1\r\n$2\r\nx]\r\n"),
        ("return {string.match('a-z', '[a%-z]+')}", "*1\r\n$3\r\na-z\r\n"),
        ("return {string.gsub('abc', '%w', '%0%0')}", "*2\r\n$6\r\naabbcc\r\n:3\r\n"),
        ("return {string.gsub('hello world', 'o', {o = '0'}, 1)}", "*2\r\n$11\r\nhell0 world\r\n:1\r\n"),
        ("return {string.gsub('abc', '', '-')}", "*2\r\n$7\r\n-a-b-c-\r\n:4\r\n"),
        ("return {string.gsub('abc', 'b', function() return nil end)}", "*2\r\n$3\r\nabc\r\n:1\r\n"),
        (
            "local n = {} for w in ('one two'):gmatch('%a+') do n[#n + 1] = w end return n",
            "*2\r\n$3\r\none\r\n$3\r\ntwo\r\n",
        ),
        ("local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return n", ":4\r\n"),
    ] {
        assert_eq!(run(source), reply, "{source}");
    }
    fails("return string.find('a', '%')", "malformed pattern (ends with '%')");
    fails("return string.find('a', '[a')", "malformed pattern (missing ']')");
    fails("return string.gsub('a', 'a', '%2')", "invalid capture index");
    fails("return string.gsub('a', 'a', true)", "bad argument #3 to 'gsub' (string/function/table expected)");
    fails("return string.rep()", "bad argument #1 to 'rep' (string expected, got no value)");
}

#[test]
fn json_goes_both_ways() {
    for (source, text) in [
        ("{1, 2, {a = 'b'}}", r#"[1,2,{"a":"b"}]"#),
        ("{}", "{}"),
        ("{[1] = 1, [3] = 3}", "[1,null,3]"),
        ("{0.1, 1e15, 1/3, -0.5, 123456789012}", "[0.1,1e+15,0.33333333333333,-0.5,123456789012]"),
        (r#"'a"\\/\n\1\127'"#, "\"a\\\"\\\\\\/\\n\\u0001\\u007f\""),
        ("{a = cjson.null}", r#"{"a":null}"#),
        ("{[5.5] = 1}", r#"{"5.5":1}"#),
        ("true", "true"),
        ("cjson.decode('[]')", "{}"),
    ] {
        assert_eq!(
            run(&format!("return cjson.encode({source})")),
            format!("${}\r\n{text}\r\n", text.len()),
            "{source}"
        );
    }
    assert_eq!(
        run("cjson.decode_array_with_array_mt(true) return cjson.encode(cjson.decode('[]'))"),
        "$2\r\n[]\r\n"
    );
    assert_eq!(
        run(r#"return cjson.decode('{"a": [1, 2.5e1, "\\u00e9\\ud83d\\ude00", null]}').a[3]"#),
        "$6\r\né😀\r\n"
    );
    assert_eq!(run("return cjson.decode('[null]')[1] == cjson.null"), ":1\r\n");
    fails("return cjson.encode({[1] = 1, [100] = 2})", "Cannot serialise table: excessively sparse array");
    fails("return cjson.encode(1/0)", "Cannot serialise number: must not be NaN or Inf");
    fails("return cjson.encode(function() end)", "Cannot serialise function: type not supported");
    fails(
        "return cjson.encode({[true] = 1})",
        "Cannot serialise boolean: table key must be a number or string",
    );
    fails("return cjson.decode('[1,')", "Expected value but found T_END at character 4");
    fails("return cjson.decode('{\"a\" 1}')", "Expected colon but found T_NUMBER at character 6");
    fails("return cjson.decode('[1] x')", "Expected the end but found invalid token at character 5");
    fails("return cjson.decode('nope')", "Expected value but found invalid token at character 1");
    fails("cjson.encode_max_depth(1) return cjson.encode({{}})", "Cannot serialise, excessive nesting (2)");
    // A setting holds for the script that made it.
    let mut bench = Bench::new();
    bench.run("cjson.encode_max_depth(1)");
    assert_eq!(bench.run("return cjson.encode({{1}})"), "$5\r\n[[1]]\r\n");
}

#[test]
fn msgpack_goes_both_ways() {
    for (source, bytes) in [
        ("1, 'a', true", "\x01\u{a1}a\u{c3}"),
        ("{1, 2}", "\u{92}\x01\x02"),
        ("{a = -1}", "\u{81}\u{a1}a\u{ff}"),
    ] {
        let expected: Vec<u8> = bytes.chars().map(|byte| byte as u8).collect();
        let hex: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        let source = format!(
            "return (cmsgpack.pack({source}):gsub('.', function(c) return string.format('%02x', c:byte()) end))"
        );
        assert_eq!(run(&source), format!("${}\r\n{hex}\r\n", hex.len()), "{source}");
    }
    let back = "local v = cmsgpack.unpack(cmsgpack.pack({1, {a = 'b', c = 1.5}, -70000, 2^40, false, ''})) \
        return {v[1], v[2].a, v[2].c * 2, v[3], v[4] == 2^40, v[5] == false, v[6]}";
    assert_eq!(run(back), "*7\r\n:1\r\n$1\r\nb\r\n:3\r\n:-70000\r\n:1\r\n:1\r\n$0\r\n\r\n");
    assert_eq!(
        run("return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2, 0)}"),
        "*3\r\n:2\r\n:1\r\n:2\r\n"
    );
    assert_eq!(run("return {cmsgpack.unpack_one(cmsgpack.pack(7, 8), 1)}"), "*2\r\n:-1\r\n:8\r\n");
    fails("return cmsgpack.unpack('\\146\\1')", "Missing bytes in input.");
    fails("return cmsgpack.unpack('\\193')", "Bad data format in input.");
    fails("return cmsgpack.pack()", "bad argument #0 to 'pack' (MessagePack pack needs input.)");
}

#[test]
fn structs_and_bits_are_those_of_c() {
    for (source, reply) in [
        ("return struct.size('>i4 i8 !8 d b')", ":25\r\n".to_owned()),
        (
            "return {struct.unpack('>I2 b s', struct.pack('>I2 b s', 258, -2, 'ab'))}",
            "*4\r\n:258\r\n:-2\r\n$2\r\nab\r\n:7\r\n".to_owned(),
        ),
        ("return #struct.pack('!4 b i4', 1, 2)", ":8\r\n".to_owned()),
        ("return {struct.unpack('bc0', '\\3abc')}", "*2\r\n$3\r\nabc\r\n:5\r\n".to_owned()),
        ("return {struct.unpack('<d', struct.pack('<d', 2.5)), 0}", "*2\r\n:2\r\n:0\r\n".to_owned()),
        ("return bit.bor(1, 6)", ":7\r\n".to_owned()),
        ("return bit.lshift(1, 31)", ":-2147483648\r\n".to_owned()),
        ("return bit.tohex(65535, -4)", "$4\r\nFFFF\r\n".to_owned()),
        ("return bit.tohex(255, -2147483648)", "$8\r\n000000FF\r\n".to_owned()),
        ("return bit.arshift(-256, 8)", ":-1\r\n".to_owned()),
    ] {
        assert_eq!(run(source), reply, "{source}");
    }
    fails("return struct.pack('i33', 1)", "integral size 33 is larger than limit of 32");
    fails("return struct.pack('I99999999999', 1)", "integral size overflow");
    fails("return struct.unpack('c99999999', 'a')", "data string too short");
    fails("return struct.unpack('b', 'a', -1)", "offset must be 1 or greater");
}

#[test]
fn functions_are_registered_while_a_library_is_loaded() {
    let mut interpreter = Interpreter::new(Kind::Functions, BYTES_MAX, 1);
    let mut host = TestHost { looks_left: 100, logged: Vec::new() };
    let mut load = |code: &str| interpreter.load(code.as_bytes(), &mut host);
    let code = "local count = 0 redis.register_function('one', function(keys, args) count = count + 1 return {keys[1], \
        args[1], count} end) redis.register_function{function_name='two', callback=function() return redis.call('PROTOCOL') \
        end, flags={'no-writes'}, description='second'}";
    let loaded = load(code).expect("it is well formed");
    assert_eq!(
        loaded.iter().map(|(registered, _)| registered.name.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_eq!(loaded[1].0.flags.names().collect::<Vec<_>>(), ["no-writes"]);
    for (code, error) in [
        ("return redis.call('PROTOCOL')", "attempted to access nonexistent global variable 'call'"),
        ("return math.random()", "attempted to access nonexistent global variable 'math'"),
        ("redis.register_function('a b', function() end)", "can only contain letters, numbers"),
        ("redis.register_function('a')", "calling redis.register_function with a single argument"),
        ("redis.register_function{function_name='a'}", "must get a callback argument"),
        (
            "redis.register_function{function_name='a', callback=function() end, flags={'bad'}}",
            "unknown flag given",
        ),
        ("redis.register_function{function_name='a', foo=1}", "unknown argument given"),
        (
            "redis.register_function('a', function() end) redis.register_function('a', function() end)",
            "already exists",
        ),
        ("x = 1", "Attempt to modify a readonly table"),
        ("return (", "Error compiling function"),
        ("while true do end", "killed"),
    ] {
        let text = load(code).map(drop).expect_err(code);
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains(error), "{code}: {text}");
    }
    let mut output = Output::default();
    for number in 1..=2 {
        let mut host = TestHost { looks_left: 100, logged: Vec::new() };
        let mut reply = Reply::new(&mut output, Protocol::Resp2);
        let (keys, arguments) = ([&b"k"[..]].into_iter(), [&b"v"[..]].into_iter());
        let ended = interpreter.run(&loaded[0].1, "one", keys, arguments, &mut host, &mut reply);
        assert!(matches!(ended, Ended::Written), "{ended:?}");
        let expected = format!("*3\r\n$1\r\nk\r\n$1\r\nv\r\n:{number}\r\n");
        assert_eq!(output.to_vec(), expected.as_bytes());
        output.rewind(0);
    }
}

#[test]
fn lines_are_logged_and_rights_are_asked() {
    assert_eq!(run("redis.log(redis.LOG_WARNING, 'a', 1) return redis.acl_check_cmd('ECHO', 'x')"), ":1\r\n");
    fails("redis.acl_check_cmd('nothing')", "Invalid command passed to redis.acl_check_cmd()");
    fails("redis.log(10, 'a')", "Invalid log level.");
    fails("redis.log('a')", "redis.log() requires two arguments or more.");
    fails("redis.setresp(4)", "RESP version must be 2 or 3.");
    fails("redis.set_repl(8)", "Invalid replication flags.");
    assert_eq!(run("return redis.sha1hex('')"), "$40\r\nda39a3ee5e6b4b0d3255bfef95601890afd80709\r\n");
    assert_eq!(run("return {redis.replicate_commands(), redis.breakpoint()}"), "*2\r\n:1\r\n$-1\r\n");
    assert_eq!(run("return redis.REDIS_VERSION_NUM"), ":525827\r\n");
}

#[test]
fn random_numbers_are_those_of_drand48() {
    assert_eq!(
        run("math.randomseed(42) return {math.random(100), math.random(100), math.random(5, 6)}")
            .matches(':')
            .count(),
        3
    );
    let mut bench = Bench::new();
    let first = bench.run("math.randomseed(7) return math.random(1000000)");
    assert_eq!(bench.run("math.randomseed(7) return math.random(1000000)"), first);
    fails("return math.random(0)", "bad argument #1 to 'random' (interval is empty)");
}
