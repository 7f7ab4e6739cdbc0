<?php
// formats/php_query against http_build_query(unserialize()).
require __DIR__ . '/common.php';

function random_text(): string
{
	$s = '';
	for ($n = mt_rand(0, 8); $n > 0; $n--)
		$s .= mt_rand(0, 3) ? chr(mt_rand(32, 126)) : chr(mt_rand(0, 255));
	return $s;
}

function random_float(): float
{
	switch (mt_rand(0, 3)) {
	case 0:
		return pick([0.0, -0.0, 0.1, 1e13, 1e14, 1e15, 99999999999999.5, 1e-3, 1e-4, 1e-5, 5.0,
		    1 / 3, 2 / 3, PHP_FLOAT_MIN, PHP_FLOAT_MAX, 4.9e-324, INF, -INF, NAN]);
	case 1:
		return mt_rand(-99999, 99999) / pick([10, 100, 8, 7]);
	case 2:
		return mt_rand() * 10 ** mt_rand(-30, 30);
	default:
		return unpack('d', random_bytes(8))[1];
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
		return random_float();
	case 3:
	case 4:
	case 5:
		return random_text();
	default:
		return mt_rand(0, 4) ? random_array($depth - 1) : (object)random_array($depth - 1);
	}
}

function random_array(int $depth): array
{
	$array = [];
	$list = mt_rand(0, 1);
	for ($n = mt_rand(0, 5); $n > 0; $n--) {
		$key = $list ? count($array) : pick([mt_rand(-2, 5), 'k' . random_text(), '05']);
		$array[$key] = random_value($depth);
		if (mt_rand(0, 15) === 0)
			$array['same'] = &$array[$key];
	}
	return $array;
}

$texts = [];
for ($i = 0; $i < $cases; $i++)
	$texts[] = serialize(random_array(mt_rand(0, 4)));
foreach (ask('php_query', array_map('bin2hex', $texts)) as $i => $answer) {
	$form = http_build_query(unserialize($texts[$i]), '', '&');
	if ($answer === 'ok ' . bin2hex($form))
		tally('same');
	else
		mismatch($texts[$i], $form,
		    str_starts_with($answer, 'ok ') ? hex2bin(substr($answer, 3)) : $answer);
}
finish('php_query');
