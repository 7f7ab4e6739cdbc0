<?php
// formats/action_args against json_decode(..., true) and is_array().
require __DIR__ . '/common.php';

function random_text(): string
{
	$s = '';
	for ($n = mt_rand(0, 6); $n > 0; $n--)
		$s .= pick(['a', '/', '"', '\\', "\n", "\x7f", "\xc3\xab", "\xe2\x82\xac", "\xf0\x9f\x98\x80", '0', '[', '{']);
	return $s;
}

function random_value(int $depth)
{
	switch (mt_rand(0, $depth > 0 ? 7 : 4)) {
	case 0:
		return null;
	case 1:
		return (bool)mt_rand(0, 1);
	case 2:
		return pick([0, -1, 42, PHP_INT_MAX, PHP_INT_MIN, mt_rand()]);
	case 3:
		return pick([0.5, -1.25e-7, 1e300, mt_rand() / 7]);
	case 4:
		return random_text();
	default:
		$list = mt_rand(0, 1);
		$array = [];
		for ($n = mt_rand(0, 4); $n > 0; $n--)
			if ($list)
				$array[] = random_value($depth - 1);
			else
				$array[random_text()] = random_value($depth - 1);
		return $array;
	}
}

$texts = [];
for ($i = 0; $i < $cases; $i++) {
	$value = mt_rand(0, 9) ? [random_value(4), random_value(2)] : random_value(3);
	$texts[] = json_encode($value, pick([0, JSON_UNESCAPED_UNICODE, JSON_PRETTY_PRINT, JSON_UNESCAPED_SLASHES]));
}
$alphabet = "0123456789+-.eE[]{},:\"\\u/ \t\n\0ntrfalsed\xc3\xab\xff\xed\xa0\x80\x1f";
for ($i = 0; $i < $cases * 2; $i++)
	$texts[] = mutate($texts[mt_rand(0, $cases - 1)], $alphabet);
foreach ([511, 512, 513] as $depth)
	foreach (['[]', '{}'] as $pair)
		$texts[] = str_repeat($pair[0] . ($pair[0] === '{' ? '"a":' : ''), $depth) . '1' . str_repeat($pair[1], $depth);
foreach (ask('action_args', array_map('bin2hex', $texts)) as $i => $answer) {
	$value = json_decode($texts[$i], true);
	$php = is_array($value);
	if ($php && $answer === 'ok ' . count($value))
		tally('both accept');
	elseif (!$php && str_starts_with($answer, 'reject '))
		tally('both reject');
	// What the header of action_args.h names.
	elseif ($php && preg_match('/real number overflow|NUL byte in object key/', $answer))
		tally('left to PHP');
	else
		mismatch($texts[$i], $php ? 'accepts ' . count($value) : 'rejects', $answer);
}
finish('action_args');
