<?php
// formats/cron_expression against a minute-by-minute search in PHP, and, where
// ACTION_SCHEDULER_DIR names a checkout of the plugin, against its parser.
require __DIR__ . '/common.php';

const DAY_NAMES = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];
const MONTH_NAMES = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const SEARCH_YEARS = 12;

// ---- expressions with their meaning: [text, set of values or function] ----

function spell(int $v, array $names, int $first): string
{
	if ($names && mt_rand(0, 3) === 0) {
		$name = $names[$v - $first];
		// All lower case is refused where nothing else is in the field.
		return mt_rand(0, 1) ? $name : ucfirst(strtolower($name));
	}
	return mt_rand(0, 4) ? (string)$v : sprintf('%02d', $v);
}

function plain_item(int $min, int $max, array $names, int $first): array
{
	// Sunday is only in `*` here: a range that ends with 0 has its own case.
	$all = range($max === 6 ? 0 : $min, $max);
	$step = mt_rand(1, max(1, intdiv($max, 2)));
	$a = mt_rand($min, $max);
	$b = mt_rand($a, $max);
	switch (mt_rand(0, 6)) {
	case 0:
		return ['*', $all];
	case 1:
		$set = array_filter($all, fn($v) => $v % $step === 0);
		return [pick(['*', '0']) . "/$step", $set];
	case 2:
		$a = max($a, 1);
		return ["$a/$step", array_filter(range($a, $max), fn($v) => ($v - $a) % $step === 0)];
	case 3:
		return [max($a, 1) . "-" . max($b, 1) . "/$step",
		    array_filter(range(max($a, 1), max($b, 1)), fn($v) => ($v - max($a, 1)) % $step === 0)];
	case 4:
		return [spell($a, $names, $first) . '-' . spell($b, $names, $first), range($a, $b)];
	default:
		return [spell($a, $names, $first), [$a]];
	}
}

function field(int $min, int $max, array $names = [], int $first = 0): array
{
	$texts = $set = [];
	for ($n = mt_rand(0, 3) ? 1 : mt_rand(2, 4); $n > 0; $n--) {
		[$text, $more] = plain_item($min, $max, $names, $first);
		$texts[] = $text;
		$set += array_fill_keys($more, true);
	}
	return [implode(',', $texts), $set];
}

// Day of month and of week: [text, function(day): bool].
function day_field(): array
{
	switch (mt_rand(0, 7)) {
	case 0:
		return ['L', fn($d) => $d['day'] === $d['days']];
	case 1:
		return ['?', fn($d) => true];
	case 2:
		$target = mt_rand(1, 28);
		return ["{$target}W", fn($d) => $d['day'] === nearest($d, $target)];
	case 3:
	case 4:
		return ['*', fn($d) => true];
	default:
		[$text, $set] = field(1, 31);
		return [$text, fn($d) => isset($set[$d['day']])];
	}
}

function nearest(array $d, int $target): int
{
	$weekday = ($d['weekday'] + ($target - $d['day']) % 7 + 7) % 7;
	if ($weekday === 6)
		return $target > 1 ? $target - 1 : 3;
	if ($weekday === 0)
		return $target < $d['days'] ? $target + 1 : $target - 2;
	return $target;
}

function weekday_field(): array
{
	switch (mt_rand(0, 9)) {
	case 0:
		$w = mt_rand(0, 7);
		return ["{$w}L", fn($d) => $d['weekday'] === $w % 7 && $d['day'] + 7 > $d['days']];
	case 1:
		$w = mt_rand(1, 5);
		$n = mt_rand(1, 5);
		return [spell($w, DAY_NAMES, 0) . "#$n",
		    fn($d) => $d['weekday'] === $w && intdiv($d['day'] - 1, 7) + 1 === $n];
	case 2:
		return ['7', fn($d) => $d['weekday'] === 0];
	case 3:
		$a = mt_rand(1, 6);
		return ["$a-" . pick(['7', '0']), fn($d) => $d['weekday'] === 0 || $d['weekday'] >= $a];
	case 4:
		$b = mt_rand(1, 6);
		return ["7-$b", fn($d) => $d['weekday'] <= $b];
	case 5:
	case 6:
	case 7:
		return ['*', fn($d) => true];
	default:
		[$text, $set] = field(1, 6, DAY_NAMES, 0);
		return [$text, fn($d) => isset($set[$d['weekday']])];
	}
}

// ---- the search ----

function search(array $e, int $after): ?int
{
	$from = intdiv($after, 60) * 60 + 60;
	$start = getdate_utc($after);
	// The parser's leap over a shorter month: asked on the 29th to 31st in a
	// month that does not match, it goes on from this date a month later.
	if ($start['day'] > 28 && !isset($e['month'][$start['month']]) &&
	    (!$e['year'] || isset($e['year'][$start['year']]))) {
		$leap = gmmktime(0, 0, 0, $start['month'] + 1, $start['day'], $start['year']);
		$from = max($from, gmmktime(0, 0, 0, (int)gmdate('n', $leap), 1, (int)gmdate('Y', $leap)));
	}
	$d = getdate_utc($from);
	$midnight = $from - $from % 86400;
	for ($i = 0; $i < SEARCH_YEARS * 366; $i++, $midnight += 86400) {
		if (isset($e['month'][$d['month']]) && (!$e['year'] || isset($e['year'][$d['year']])) &&
		    $e['day']($d) && $e['weekday']($d))
			for ($m = max(0, intdiv($from - $midnight, 60)); $m < 1440; $m++)
				if (isset($e['hour'][intdiv($m, 60)]) && isset($e['minute'][$m % 60]))
					return $midnight + $m * 60;
		$d['weekday'] = ($d['weekday'] + 1) % 7;
		if (++$d['day'] > $d['days']) {
			$d['day'] = 1;
			if (++$d['month'] > 12) {
				$d['month'] = 1;
				$d['year']++;
			}
			$d['days'] = month_days($d['year'], $d['month']);
		}
	}
	return null;
}

function month_days(int $year, int $month): int
{
	if ($month === 2)
		return $year % 4 === 0 && ($year % 100 !== 0 || $year % 400 === 0) ? 29 : 28;
	return in_array($month, [4, 6, 9, 11], true) ? 30 : 31;
}

function getdate_utc(int $t): array
{
	[$year, $month, $day, $weekday] = array_map('intval', explode(' ', gmdate('Y n j w', $t)));
	return compact('year', 'month', 'day', 'weekday') + ['days' => month_days($year, $month)];
}

function expression(int $after): array
{
	[$minute, $minutes] = field(0, 59);
	[$hour, $hours] = field(0, 23);
	[$day, $is_day] = day_field();
	[$month, $months] = mt_rand(0, 2) ? ['*', array_fill_keys(range(1, 12), true)] : field(1, 12, MONTH_NAMES, 1);
	[$weekday, $is_weekday] = weekday_field();
	$year = (int)gmdate('Y', $after);
	$text = "$minute $hour $day $month $weekday";
	$years = [];
	if (mt_rand(0, 5) === 0) {
		$years = array_fill_keys(range($year + mt_rand(-1, 1), $year + mt_rand(1, 5)), true);
		$text .= ' ' . min(array_keys($years)) . '-' . max(array_keys($years));
	}
	return ['text' => $text, 'minute' => $minutes, 'hour' => $hours, 'day' => $is_day,
	    'month' => $months, 'weekday' => $is_weekday, 'year' => $years];
}

$expressions = $lines = [];
for ($i = 0; $i < $cases; $i++) {
	// Half of the questions are asked at a month's or year's end.
	$after = mt_rand(0, 1) ? mt_rand(0, 4000000000)
	    : gmmktime(mt_rand(0, 23), mt_rand(0, 59), mt_rand(0, 59), pick([1, 2, 3, 5, 8, 12]), mt_rand(28, 31), mt_rand(1971, 2090));
	$e = expression($after);
	$expressions[] = [$e, $after];
	$lines[] = "next $after " . bin2hex($e['text']);
}
foreach (ask('cron_expression', $lines) as $i => $answer) {
	[$e, $after] = $expressions[$i];
	$found = search($e, $after);
	if ($answer === 'ok ' . $found)
		tally('found');
	elseif ($answer === 'reject Impossible CRON expression' && $found === null)
		tally('both find none');
	// 1000 steps are at least two years of days.
	elseif ($answer === 'reject Impossible CRON expression' && $found - $after > 2 * 366 * 86400)
		tally('given up after 1000 steps');
	elseif ($found === null && str_starts_with($answer, 'ok ') &&
	    (int)substr($answer, 3) > $after + (SEARCH_YEARS - 1) * 365 * 86400)
		tally('past the search');
	else
		mismatch("{$e['text']} after $after", (string)$found, $answer);
}

$dir = getenv('ACTION_SCHEDULER_DIR');
if (!$dir) {
	fwrite(STDERR, "cron_expression: ACTION_SCHEDULER_DIR is not set, the plugin's parser was not compared\n");
	finish('cron_expression');
}

// ---- the plugin's own parser ----

date_default_timezone_set('UTC');
spl_autoload_register(function ($class) use ($dir) {
	$file = "$dir/lib/cron-expression/$class.php";
	if (is_file($file))
		require $file;
});

class Endless extends Exception
{
}

pcntl_async_signals(true);
pcntl_signal(SIGALRM, function () {
	throw new Endless;
});
set_error_handler(fn() => true);

function plugin_answer(string $how, int $after, string $text): string
{
	pcntl_alarm(1);
	try {
		$expression = CronExpression::factory($text);
		$next = $expression->getNextRunDate(new DateTime("@$after", new DateTimeZone('UTC')), 0, $how === 'first');
		return 'ok ' . $next->getTimestamp();
	} catch (Endless $e) {
		return 'endless';
	} catch (Throwable $e) {
		return 'reject ' . $e->getMessage();
	} finally {
		pcntl_alarm(0);
	}
}

$odd = ['*', '?', 'L', 'W', '15W', '31W', '30W', '0W', '1W', 'LW', '5L', '7L', '0L', '77L', '00L', '5#2', '1#5', '0#1', '6#1', '5#6',
    '5#0', '5#', 'FRI#2', 'sunL', 'SUN-TUE', 'fri-SUN', '7-2', '6-0', '5-7', '07-2', '1-00', '0-7', '*/7', '0/7', '00/7', '1/2', '5-3', '3-3',
    '10-20/3', '20-10/3', '*/0', '5/0', '*/x', 'x/2', '/5', '5/', '-5', '5-', '1-2-3', '*-5', '*-5/2', '59', '60', '61', '99', '007', '0', '00',
    'JAN', 'feb', 'JAN-MAR', 'DEC,2', 'JANFEB', 'MONDAY', 'a', 'Z', '?,1', ',5', '5,', ',', '2,*/10', '2028', '2027-2033/3', '1999', '*,5#2', '1.5', '1e1', '+5', '1000/2', '*5', '5*'];
$questions = $lines = [];
for ($i = 0; $i < $cases * 2; $i++) {
	[$e, $after] = pick($expressions);
	$text = $e['text'];
	if ($i % 2) {
		$parts = explode(' ', $text);
		for ($n = mt_rand(1, 2); $n > 0; $n--)
			$parts[mt_rand(0, count($parts) - 1)] = mt_rand(0, 3) ? pick($odd) : pick($odd) . ',' . pick($odd);
		$text = implode(pick([' ', ' ', "\t", '  ']), $parts);
		if (mt_rand(0, 9) === 0)
			$text = mutate($text, "0123456789*/,-?LW#ABCabc \t");
		if (mt_rand(0, 99) === 0)
			$text = pick(['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@hourly', '@midnight', '@Daily', ' @daily', '', '* * * *']);
	}
	$how = pick(['next', 'first']);
	$questions[] = [$how, $after, $text];
	$lines[] = "$how $after " . bin2hex($text);
}
foreach (ask('cron_expression', $lines) as $i => $answer) {
	[$how, $after, $text] = $questions[$i];
	$php = plugin_answer($how, $after, $text);
	if ($php === $answer)
		tally(str_starts_with($php, 'ok') ? 'plugin: same time' : 'plugin: same words of refusal');
	elseif (!str_starts_with($php, 'ok') && !str_starts_with($answer, 'ok'))
		tally($php === 'endless' ? 'plugin: endless there, refused here' : 'plugin: both refuse');
	// What the header of cron_expression.h names.
	elseif (preg_match('/cannot be ("|evaluated)/', $answer)) {
		tally('plugin: refused here only');
		if (getenv('COMPARE_VERBOSE'))
			fwrite(STDERR, "refused here only: $text: $answer\n");
	} else
		mismatch("$how $after $text", $php, $answer);
}
finish('cron_expression');
