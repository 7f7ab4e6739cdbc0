<?php
// formats/php_serialize_json against json_encode(unserialize()).
require __DIR__ . '/common.php';

function random_text(): string
{
	$s = '';
	for ($n = mt_rand(0, 10); $n > 0; $n--)
		$s .= mt_rand(0, 60) === 0 ? pick(["\xff", "\xc3", "\xed\xa0\x80"]) :
		    pick(['a', '5', '/', '\\', '"', "\0", "\n", "\x1f", "\x7f", "\u{e9}",
			"\u{2028}", "\u{1f600}", "\u{10ffff}", "<&'>"]);
	return $s;
}

function random_float(): float
{
	switch (mt_rand(0, 3)) {
	case 0:
		return pick([0.0, -0.0, 0.1, 1e15, 1e16, 1e17, 1e18, 1e-3, 1e-4, 1e-5, 5.0, 1 / 3,
		    PHP_FLOAT_MIN, PHP_FLOAT_MAX, 4.9e-324, mt_rand(0, 9) ? 2.5 : INF]);
	case 1:
		return mt_rand(-99999, 99999) / pick([10, 100, 8, 7]);
	case 2:
		return mt_rand() * 10 ** mt_rand(-30, 30);
	default:
		$bits = unpack('d', random_bytes(8))[1];
		return is_finite($bits) ? $bits : 0.5;
	}
}

function random_value(int $depth)
{
	switch (mt_rand(0, $depth > 0 ? 8 : 5)) {
	case 0:
		return pick([null, true, false]);
	case 1:
		return pick([0, -1, mt_rand(), PHP_INT_MAX, PHP_INT_MIN]);
	case 2:
	case 3:
		return random_float();
	case 4:
	case 5:
		return random_text();
	default:
		$array = [];
		$list = mt_rand(0, 1);
		for ($n = mt_rand(0, 5); $n > 0; $n--)
			$array[$list ? count($array) : pick([mt_rand(-2, 5), random_text(), '05'])] =
			    mt_rand(0, 80) ? random_value($depth - 1) : new stdClass;
		return $array;
	}
}

function holds_object($v): bool
{
	return is_object($v) || (is_array($v) && array_filter($v, 'holds_object'));
}

$texts = [];
for ($i = 0; $i < $cases; $i++)
	$texts[] = serialize(random_value(mt_rand(0, 4)));
foreach (ask('php_serialize_json', array_map('bin2hex', $texts)) as $i => $answer) {
	$value = unserialize($texts[$i]);
	$json = holds_object($value) ? false : json_encode($value);
	if ($json === false && str_starts_with($answer, 'none'))
		tally('cannot be said');
	elseif ($json !== false && $answer === 'ok ' . bin2hex($json))
		tally('same');
	else
		mismatch($texts[$i], var_export($json, true),
		    str_starts_with($answer, 'ok ') ? hex2bin(substr($answer, 3)) : $answer);
}
finish('php_serialize_json');
