<?php
// formats/cron_array against WordPress' own functions: wp-includes/cron.php is
// loaded as it stands, over an option that is a variable.
require __DIR__ . '/common.php';

$wordpress = getenv('WORDPRESS_DIR') ?: '/usr/share/wordpress';
if (!is_file("$wordpress/wp-includes/cron.php")) {
	fwrite(STDERR, "cron_array: no WordPress in $wordpress (WORDPRESS_DIR)\n");
	exit(1);
}
foreach (['MINUTE' => 60, 'HOUR' => 3600, 'DAY' => 86400, 'WEEK' => 604800] as $name => $seconds)
	define("{$name}_IN_SECONDS", $seconds);

function __($text)
{
	return $text;
}

function is_wp_error($v)
{
	return $v instanceof WP_Error;
}

function get_option($name)
{
	return unserialize($GLOBALS['option']);
}

function update_option($name, $value)
{
	$GLOBALS['option'] = serialize($value);
	return true;
}

require "$wordpress/wp-includes/plugin.php";
require "$wordpress/wp-includes/class-wp-error.php";
require "$wordpress/wp-includes/cron.php";

class Visible
{
	public $a = 1;
	protected $b = [2];
	private $c = "\xc3\xa9";
}

const RECURRENCES = ['every_minute' => 60, 'odd' => 77, "\u{e4}\"" => 600];
add_filter('cron_schedules', function ($all) {
	foreach (RECURRENCES as $name => $interval)
		$all[$name] = ['interval' => $interval, 'display' => ''];
	return $all;
});

const BASE = 1700000000;

function random_args(): array
{
	switch (mt_rand(0, 9)) {
	case 0:
		return [mt_rand(0, 5)];
	case 1:
		return ["\0\";}\xff" . mt_rand(0, 3), 'i:5;'];
	case 2:
		$o = new Visible;
		return [$o, $o, ['again' => $o]];
	case 3:
		$x = mt_rand(0, 3);
		return [&$x, 'y' => [&$x], 'z' => &$x];
	case 4:
		return ['nested' => [['deep' => [null, true, 1.5, 0.1, -INF]]]];
	case 5:
		return [new Visible, mt_rand(0, 3)];
	default:
		return [];
	}
}

function random_hook(): string
{
	return pick(['h', 'H', 'hook', "h\u{e9}", "h\0k", '5', '05', '-7', 'a"b', 'zz']);
}

function key_of(array $args): string
{
	return md5(serialize($args));
}

function random_event(): array
{
	$args = random_args();
	switch (mt_rand(0, 5)) {
	case 0:
		return ['schedule' => 'hourly', 'args' => $args, 'interval' => 3600];
	case 1:
		return ['schedule' => 'gone', 'args' => $args, 'interval' => '500'];
	case 2:
		return ['schedule' => pick(['', '0', null, 0, 1.5, true]), 'args' => $args];
	case 3:
		return mt_rand(0, 3) ? ['schedule' => false, 'args' => $args]
		    : ['schedule' => false, 'args' => pick([null, 'text'])];
	default:
		return ['schedule' => false, 'args' => $args];
	}
}

// Text keys stay above the ints, so that no two are the same second.
function random_time()
{
	return mt_rand(0, 9) ? BASE + mt_rand(0, 12) * pick([1, 700])
	    : pick(['1800000005.5', '1800000007.25', ' 1800000009', '1.8e9']);
}

function random_array(): array
{
	$crons = [];
	for ($n = mt_rand(0, 12); $n > 0; $n--) {
		$event = random_event();
		$key = mt_rand(0, 9) ? md5(serialize($event['args'])) : pick(['7', 'stale', "k\0"]);
		$crons[random_time()][random_hook()][$key] = $event;
	}
	if (mt_rand(0, 7) === 0)
		$crons[pick(['abc', '', 'x5', '-', 'Zed'])] = pick([5, 'text', ['h' => ['k' => ['args' => []]]]]);
	if (mt_rand(0, 7) === 0)
		$crons[BASE - 5] = pick([['h' => 5, 'hook' => ['k' => 'no array']], 'text']);
	if (mt_rand(0, 3))
		uksort($crons, 'strnatcasecmp');
	if (mt_rand(0, 9) === 0)
		$crons = ['version' => 2] + $crons;
	elseif ($crons || mt_rand(0, 1))
		$crons['version'] = pick([2, 2, 2, 2, '2', 3]);
	return $crons;
}

// One change by WordPress, and the same as an edit; null: none was made.
function random_edit(): ?string
{
	$all = events_of($GLOBALS['option']);
	if ($all && mt_rand(0, 1)) {
		[$time, $hook, $args, $stored] = pick($all);
		if (!is_array($args) || key_of($args) !== $stored)
			return null;
		wp_unschedule_event($time, $hook, $args);
		return edit($time, $hook, $stored);
	}
	$args = random_args();
	$time = BASE + mt_rand(0, 12) * pick([1, 700]);
	if (mt_rand(0, 2) === 0) {
		if (wp_schedule_single_event($time, $hook = random_hook(), $args) !== true)
			return null;
		return edit($time, $hook, key_of($args), ['schedule' => false, 'args' => $args]);
	}
	$name = pick(array_keys(RECURRENCES));
	if (wp_schedule_event($time, $name, $hook = random_hook(), $args) !== true)
		return null;
	return edit($time, $hook, key_of($args),
	    ['schedule' => $name, 'args' => $args, 'interval' => RECURRENCES[$name]]);
}

function edit($time, string $hook, string $key, ?array $event = null): string
{
	$parts = [ceil((float)$time), bin2hex($hook), bin2hex($key)];
	if ($event)
		$parts[] = bin2hex(serialize($event));
	return implode(',', $parts);
}

// [time, hook, args, key, event] of each slot that is one.
function events_of(string $option): array
{
	$events = [];
	$crons = unserialize($option);
	unset($crons['version']);
	foreach ($crons as $time => $hooks) {
		if (!is_numeric($time) || !is_array($hooks))
			continue;
		foreach ($hooks as $hook => $keys)
			foreach (is_array($keys) ? $keys : [] as $key => $event)
				if (is_array($event))
					$events[] = [$time, (string)$hook, $event['args'] ?? null, (string)$key, $event];
	}
	return $events;
}

function listed(string $option): string
{
	$out = 'ok';
	foreach (events_of($option) as [$time, $hook, $args, $key, $event]) {
		$name = $event['schedule'] ?? false;
		$out .= ' ' . implode(',', [ceil((float)$time), bin2hex($hook), bin2hex($key),
		    is_array($args) ? bin2hex(serialize($args)) : '',
		    !$name ? '' : bin2hex(is_string($name) ? $name : serialize($name)),
		    (int)($event['interval'] ?? 0)]);
	}
	return $out;
}

$before = $after = $lines = [];
for ($i = 0; $i < $cases; $i++) {
	$option = serialize(random_array());
	$edits = [];
	$text = $option;
	$read = isset(unserialize($text)['version']);
	if ($read)
		for ($n = mt_rand(1, 6); $n > 0; $n--)
			$edits[] = random_edit();
	else
		_get_cron_array();
	$edits = array_filter($edits);
	$before[] = $text;
	$after[] = $edits || !$read ? $option : $text;
	$lines[] = bin2hex($text) . ' ' . implode(' ', $edits);
}

foreach (ask('cron_events', array_map('bin2hex', $before)) as $i => $answer)
	if (!isset(unserialize($before[$i])['version']))
		$answer === 'ok' ? tally('no version')
		    : mismatch($before[$i], 'no version', $answer);
	elseif ($answer === listed($before[$i]))
		tally('read alike');
	else
		mismatch($before[$i], listed($before[$i]), $answer);

foreach (ask('cron_array', $lines) as $i => $answer)
	if ($answer === 'ok ' . bin2hex($after[$i]))
		tally('written alike');
	elseif (str_starts_with($answer, 'none') && $after[$i] === $before[$i])
		tally('unchanged');
	elseif (!isset(unserialize($before[$i])['version']) &&
	    (str_starts_with($answer, 'reject') || $before[$i] === 'a:0:{}'))
		tally('left to WordPress');
	else
		mismatch($before[$i] . ' ' . strstr($lines[$i], ' '), $after[$i],
		    str_starts_with($answer, 'ok ') ? hex2bin(substr($answer, 3)) : $answer);

// WordPress reads the clock: at most a second passes meanwhile.
$lines = $found = [];
for ($i = 0; $i < min($cases, 2000); $i++) {
	$interval = pick([60, 77, 600]);
	$name = array_search($interval, RECURRENCES, true);
	$now = time();
	$late = pick([0, 1, $interval - 1, $interval, $interval + 1, mt_rand(0, 10 * $interval), -mt_rand(1, 99)]);
	$option = serialize(['version' => 2]);
	wp_reschedule_event($now - $late, $name, 'h');
	$found[] = [events_of($option)[0][0], $now, time()];
	foreach ([$now, $now + 1] as $clock)
		$lines[] = implode(' ', [$now - $late, $interval, $clock]);
}
$answers = ask('cron_next_run', $lines);
foreach ($found as $i => [$next, $now, $then])
	if ($answers[2 * $i] === "ok $next" || ($then > $now && $answers[2 * $i + 1] === "ok $next"))
		tally('next runs alike');
	else
		mismatch($lines[2 * $i], (string)$next, $answers[2 * $i]);
finish('cron_array');
