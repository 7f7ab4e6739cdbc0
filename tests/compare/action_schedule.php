<?php
// formats/action_schedule against the schedule classes of the plugin that
// ACTION_SCHEDULER_DIR names: what they write is read, and the next instance is
// the one ActionScheduler_ActionFactory::repeat() would store.
require __DIR__ . '/common.php';

$dir = getenv('ACTION_SCHEDULER_DIR');
if (!$dir) {
	echo "action_schedule: not compared, ACTION_SCHEDULER_DIR is not set\n";
	exit(0);
}
date_default_timezone_set('UTC');
set_error_handler(fn() => true);
spl_autoload_register(function ($class) use ($dir) {
	foreach (['lib/cron-expression', 'classes/schedules', 'classes/abstracts', 'classes', 'deprecated'] as $folder)
		if (is_file("$dir/$folder/$class.php")) {
			require "$dir/$folder/$class.php";
			return;
		}
});
require "$dir/functions.php";

function random_expression(): string
{
	return implode(' ', [
	    pick(['*', '*/5', '0', '17', '0,30', '10-40/7', '59']),
	    pick(['*', '*/6', '0', '3', '8-17', '23']),
	    pick(['*', '*', '1', 'L', '15W', '?', '1-7', '31', '1,15']),
	    pick(['*', '*', '*/3', 'JAN-mar', '2', '6,12']),
	    pick(['*', '*', '1-5', 'MON', '5L', '2#1', '7', '6-0']),
	    ...(mt_rand(0, 4) ? [] : [pick(['*', '2026-2060', '*/2'])])]);
}

function random_schedule(): ?object
{
	$when = as_get_datetime_object(mt_rand(0, 1) ? mt_rand(1700000000, 1900000000) : mt_rand(1, 4000000000));
	try {
		switch (mt_rand(0, 9)) {
		case 0:
			return new ActionScheduler_NullSchedule();
		case 1:
			return new ActionScheduler_CanceledSchedule($when);
		case 2:
			return new ActionScheduler_SimpleSchedule($when);
		case 3:
		case 4:
		case 5:
			$interval = pick([60, 3600, 86400, mt_rand(1, 10000000), (string)mt_rand(1, 90000), 0, -5, 300.0]);
			return new ActionScheduler_IntervalSchedule($when, $interval,
			    mt_rand(0, 1) ? null : as_get_datetime_object($when->getTimestamp() - mt_rand(0, 9999999)));
		default:
			$text = mt_rand(0, 9) ? random_expression() : pick(['@daily', '@hourly', '@weekly', '@monthly', '@yearly']);
			return new ActionScheduler_CronSchedule($when, CronExpression::factory($text),
			    mt_rand(0, 1) ? null : as_get_datetime_object($when->getTimestamp() - mt_rand(0, 9999999)));
		}
	} catch (Exception $e) {
		return null;
	}
}

// What a row of before 3.0 holds, or one of which only the new names are left.
function strip_names(string $blob, bool $new): string
{
	$object = unserialize($blob, ['allowed_classes' => false]);
	$class = null;
	$kept = [];
	foreach ((array)$object as $name => $value)
		if ($name === '__PHP_Incomplete_Class_Name')
			$class = $value;
		elseif (str_starts_with($name, "\0*\0") === $new)
			$kept[$name] = $value;
	$body = '';
	foreach ($kept as $name => $value)
		$body .= serialize($name) . serialize($value);
	return 'O:' . strlen($class) . ":\"$class\":" . count($kept) . ":{{$body}}";
}

// As ActionScheduler_ActionFactory::repeat().
function repeat(string $blob, DateTime $now): string
{
	$schedule = unserialize($blob);
	if (!$schedule->is_recurring())
		return serialize($schedule);
	$next = $schedule->get_next($now);
	return serialize(new $schedule($next, $schedule->get_recurrence(), $schedule->get_first_date()));
}

$questions = $lines = [];
while (count($lines) < $cases) {
	$schedule = random_schedule();
	if (!$schedule)
		continue;
	$blob = serialize($schedule);
	if (mt_rand(0, 4) === 0 && !($schedule instanceof ActionScheduler_NullSchedule) &&
	    !($schedule instanceof ActionScheduler_CanceledSchedule))
		$blob = strip_names($blob, (bool)mt_rand(0, 1));
	$at = $schedule instanceof ActionScheduler_NullSchedule ? 1800000000 : $schedule->get_date()->getTimestamp();
	$us = mt_rand(0, 2) ? mt_rand(0, 999999) : pick([0, 1, 999999]);
	$now = max(1, $at + pick([-86400, -1, 0, 0, 1, 59, 60, mt_rand(0, 100000), mt_rand(0, 10000000)]));
	$questions[] = [$blob, sprintf('%d.%06d', $now, $us)];
	$lines[] = ($now * 1000000 + $us) . ' ' . bin2hex($blob);
}
foreach (ask('action_schedule', $lines) as $i => $answer) {
	[$blob, $now] = $questions[$i];
	try {
		$php = 'ok ' . repeat($blob, new ActionScheduler_DateTime("@$now", new DateTimeZone('UTC')));
	} catch (Throwable $e) {
		$php = 'reject ' . $e->getMessage();
	}
	$words = explode(' ', $answer);
	$c = $words[0] === 'ok' ? 'ok ' . hex2bin($words[4]) : $answer;
	if ($php === $c)
		tally($words[0] !== 'ok' ? 'same words of refusal' : substr(strstr($blob, 'Scheduler_'), 10, 4) . ' same bytes');
	else
		mismatch("$blob at $now", $php, $c);
}
finish('action_schedule');
